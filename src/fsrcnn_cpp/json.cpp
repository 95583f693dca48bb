#include "json.h"

#include <charconv>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <utility>

namespace fsrcnn {
namespace {

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Json whole() {
    Json value = this->value(0);
    skip_blanks();
    if (at_ != text_.size()) refuse("more follows");
    return value;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw std::invalid_argument("is not JSON: " + what + " at character " + std::to_string(at_));
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char wanted) {
    if (peek() != wanted || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!take(wanted)) refuse(std::string("there is no '") + wanted + "'");
  }
  void skip_blanks() {
    while (at_ < text_.size() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
  }
  bool take_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  Json value(int depth) {
    if (++values_ > Json::kMaxValues) refuse("it has more than " + std::to_string(Json::kMaxValues) + " values");
    skip_blanks();
    Json json;
    if (peek() == '{') {
      json.kind = Json::Kind::object;
      members(json, depth + 1);
    } else if (peek() == '[') {
      json.kind = Json::Kind::list;
      items(json, depth + 1);
    } else if (peek() == '"') {
      json.kind = Json::Kind::string;
      json.string = string();
    } else if (take_word("true") || take_word("false")) {
      json.kind = Json::Kind::boolean;
      json.boolean = text_[at_ - 2] == 'u';
    } else if (!take_word("null")) {
      number(json);
    }
    return json;
  }

  void check_depth(int depth) const {
    if (depth > Json::kMaxDepth) refuse("it is nested more than " + std::to_string(Json::kMaxDepth) + " deep");
  }

  void items(Json& json, int depth) {
    check_depth(depth);
    expect('[');
    skip_blanks();
    if (take(']')) return;
    do {
      json.items.push_back(value(depth));
      skip_blanks();
    } while (take(','));
    expect(']');
  }

  void members(Json& json, int depth) {
    check_depth(depth);
    expect('{');
    skip_blanks();
    if (take('}')) return;
    std::set<std::string> known;
    do {
      skip_blanks();
      std::string key = string();
      if (!known.insert(key).second) refuse("a key comes twice");
      skip_blanks();
      expect(':');
      json.members.push_back({std::move(key), value(depth)});
      skip_blanks();
    } while (take(','));
    expect('}');
  }

  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  void digits() {
    if (!is_digit(peek())) refuse("there is no value");
    while (is_digit(peek())) ++at_;
  }

  void number(Json& json) {
    const std::size_t first = at_;
    take('-');
    if (!take('0')) digits();
    bool whole = true;
    if (take('.')) {
      whole = false;
      digits();
    }
    if (take('e') || take('E')) {
      whole = false;
      if (!take('+')) take('-');
      digits();
    }
    const char *const begin = text_.data() + first, *const end = text_.data() + at_;
    whole = whole && std::from_chars(begin, end, json.integer).ec == std::errc();
    json.kind = whole ? Json::Kind::integer : Json::Kind::real;
  }

  std::string string() {
    expect('"');
    std::string out;
    for (;;) {
      if (at_ == text_.size()) refuse("a string does not end");
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') break;
      if (c < 0x20) refuse("a string has a control character");
      if (c == '\\') {
        ++at_;
        escape(out);
      } else if (c < 0x80) {
        out += text_[at_++];
      } else {
        multibyte(out);
      }
    }
    ++at_;
    return out;
  }

  void escape(std::string& out) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
    const char name = peek();
    if (at_ < text_.size() && kNames.find(name) != kNames.npos) {
      out += kMeant[kNames.find(name)];
      ++at_;
      return;
    }
    if (!take('u')) refuse("there is no such escape");
    std::uint32_t point = hex();
    if (point >= 0xd800 && point < 0xdc00) {
      const std::uint32_t low = take('\\') && take('u') ? hex() : 0;
      if (low < 0xdc00 || low > 0xdfff) refuse("half a character");
      point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    } else if (point >= 0xdc00 && point <= 0xdfff) {
      refuse("half a character");
    }
    encode(point, out);
  }

  std::uint32_t hex() {
    std::uint32_t value = 0;
    const std::string_view four = text_.substr(at_, 4);
    const auto [end, error] = std::from_chars(four.data(), four.data() + four.size(), value, 16);
    if (four.size() < 4 || error != std::errc() || end != four.data() + 4) refuse("there are no four digits");
    at_ += 4;
    return value;
  }

  static void encode(std::uint32_t point, std::string& out) {
    const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (point >> shift & 0x3f)); };
    if (point < 0x80) {
      out += static_cast<char>(point);
    } else if (point < 0x800) {
      out += static_cast<char>(0xc0 | point >> 6);
      tail(0);
    } else if (point < 0x10000) {
      out += static_cast<char>(0xe0 | point >> 12);
      tail(6);
      tail(0);
    } else {
      out += static_cast<char>(0xf0 | point >> 18);
      tail(12);
      tail(6);
      tail(0);
    }
  }

  /// A character of several bytes, if it is one: neither longer than need be nor half of a pair.
  void multibyte(std::string& out) {
    const auto lead = static_cast<unsigned char>(text_[at_]);
    const int count = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    std::uint32_t point = lead & (0xff >> (count + 1));
    bool sound = lead >= 0xc0 && lead < 0xf8 && text_.size() - at_ >= static_cast<std::size_t>(count);
    for (int i = 1; sound && i < count; ++i) {
      const auto c = static_cast<unsigned char>(text_[at_ + static_cast<std::size_t>(i)]);
      sound = (c & 0xc0) == 0x80;
      point = point << 6 | (c & 0x3f);
    }
    constexpr std::uint32_t kLeast[] = {0x80, 0x800, 0x10000};
    sound = sound && point >= kLeast[count - 2] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    if (!sound) refuse("it is not UTF-8");
    out.append(text_, at_, static_cast<std::size_t>(count));
    at_ += static_cast<std::size_t>(count);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int values_ = 0;
};

}  // namespace

Json Json::parse(std::string_view text) { return Reader(text).whole(); }

const Json* Json::find(std::string_view key) const {
  for (const auto& [name, value] : members) {
    if (name == key) return &value;
  }
  return nullptr;
}

}  // namespace fsrcnn
