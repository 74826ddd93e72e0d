#include "base/gzip.hpp"

#include <zlib.h>

#include <algorithm>

namespace perjoule::base {
namespace {

class Inflater {
 public:
  Inflater() { good_ = inflateInit2(&z_, 15 + 16) == Z_OK; }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&z_); }
  bool good() const { return good_; }
  z_stream& stream() { return z_; }

 private:
  z_stream z_{};
  bool good_ = false;
};

Error broken(const std::string& name, std::size_t at, const char* why) {
  return bad_input("unpack gzip", name + ": byte " + std::to_string(at), why,
                   "Fetch or copy the file again; 'gzip -t FILE' should be silent");
}

}  // namespace

bool is_gzip(std::string_view bytes) { return bytes.starts_with("\x1f\x8b"); }

Result<std::string> gunzip(std::string_view bytes, const std::string& name, std::uint64_t limit) {
  Inflater inflater;
  PJ_CHECK(inflater.good());
  z_stream& z = inflater.stream();
  std::string out;
  std::size_t used = 0, have = 0;
  for (;;) {
    if (have == out.size()) out.resize(std::max<std::size_t>(64 << 10, out.size() * 2));
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data() + used));
    z.avail_in = static_cast<uInt>(std::min<std::size_t>(bytes.size() - used, 1U << 30));
    z.next_out = reinterpret_cast<Bytef*>(out.data() + have);
    z.avail_out = static_cast<uInt>(std::min<std::size_t>(out.size() - have, 1U << 30));
    const uInt in_before = z.avail_in, out_before = z.avail_out;
    const int code = inflate(&z, Z_NO_FLUSH);
    used += in_before - z.avail_in;
    have += out_before - z.avail_out;
    if (have > limit) return broken(name, used, kBeyondLimit);
    if (code == Z_STREAM_END) {
      if (bytes.find_first_not_of('\0', used) == std::string_view::npos)
        break;  // zeros: padding of tapes and blocks
      if (!is_gzip(bytes.substr(used))) return broken(name, used, "there is something else after the stream");
      inflateReset(&z);
    } else if (code == Z_BUF_ERROR || (code == Z_OK && z.avail_out != 0 && used == bytes.size())) {
      return broken(name, used, "the stream ends too early (truncated file)");
    } else if (code != Z_OK) {
      return broken(name, used, z.msg != nullptr ? z.msg : "damaged stream");
    }
  }
  out.resize(have);
  return out;
}

Result<std::string> read_text(Env& env, const std::string& path, std::uint64_t limit) {
  auto bytes = env.read_file(path, limit);
  if (!bytes.ok()) return bytes;
  if (bytes->empty()) return bad_input("read a file", path, "it is empty");
  if (!is_gzip(*bytes)) return bytes;
  return gunzip(*bytes, path, limit);
}

}  // namespace perjoule::base
