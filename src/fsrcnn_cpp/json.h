// JSON as RFC 8259 has it, read strictly and within limits: what a model file is described by.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fsrcnn {

struct Json {
  struct Member;
  enum class Kind { null, boolean, integer, real, string, list, object };

  /// Lists and objects within each other, at most.
  static constexpr int kMaxDepth = 64;
  /// Values of a text, at most: one takes a hundred bytes, and two characters are enough for one.
  static constexpr int kMaxValues = 1 << 18;

  /// Throws std::invalid_argument, which tells the place, for a text that is not JSON in UTF-8, is nested deeper than
  /// kMaxDepth, has more than kMaxValues, or names a key of an object twice.
  static Json parse(std::string_view text);

  bool is(Kind other) const { return kind == other; }
  /// The value of a key of an object, or null.
  const Json* find(std::string_view key) const;

  Kind kind = Kind::null;
  bool boolean = false;
  long long integer = 0;  // a number without point and exponent that fits; any other is `real`, whose value is not kept
  std::string string;
  std::vector<Json> items;      // of a list
  std::vector<Member> members;  // of an object, in their order
};

struct Json::Member {
  std::string key;
  Json value;
};

}  // namespace fsrcnn
