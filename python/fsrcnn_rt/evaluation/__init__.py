"""Measuring: the protocol of the papers, other pictures than theirs, tables, pages to compare, and speed."""
