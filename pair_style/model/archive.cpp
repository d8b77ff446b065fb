#include "archive.h"

#include "checksum.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <sys/stat.h>
#include <type_traits>

using namespace mlip;

/* Field offsets and signatures: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3. */
namespace {

constexpr uint32_t LOCAL = 0x04034b50, CENTRAL = 0x02014b50, LOCATOR64 = 0x07064b50;
constexpr uint16_t EXTRA64 = 0x0001;
constexpr uint32_t SEE_EXTRA = 0xffffffff;

template <typename T> T field(const std::string &bytes, size_t offset)
{
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) throw std::runtime_error("truncated zip record");
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

std::string below_root(const std::string &name)
{
  const size_t root = name.find('/');
  return root == std::string::npos ? name : name.substr(root + 1);
}

template <typename Bytes> Bytes bytes_of(uint64_t size)
{
  if constexpr (std::is_same_v<Bytes, std::string>)
    return std::string(size, '\0');
  else
    return Bytes(size);
}

template <typename Bytes = std::string> Bytes read_range(const std::string &path, uint64_t offset, uint64_t size)
{
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const auto length = static_cast<uint64_t>(file.tellg());
  if (!file || offset > length || size > length - offset) throw std::runtime_error("truncated file");
  auto bytes = bytes_of<Bytes>(size);
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  if (!file) throw std::runtime_error("truncated file");
  return bytes;
}

bool ends_with(const std::string &text, const std::string &end)
{
  return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/* A word of a shell command, as shlex.quote of Python writes it. */

std::string quoted(const std::string &word)
{
  const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_";
  if (word.find_first_not_of(plain) == std::string::npos) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\"'\"'") : std::string(1, c);
  return text + "'";
}

/* The next step for a file that no export wrote. It must not write over the file. */

std::string make_another(const std::string &path)
{
  for (const char *end : {".model", ".safetensors", ".pt", ".pth"})
    if (ends_with(path, end))
      return "compile it with: mlip-lammps export " + quoted(path) + " -o " +
          quoted(path.substr(0, path.size() - strlen(end)) + ".pt2");
  return "create one with: mlip-lammps export MODEL -o FILE.pt2";
}

/* Whether the file is empty or begins like a zip archive, as after an interrupted copy. */

bool is_begun(const std::string &path)
{
  std::ifstream file(path, std::ios::binary);
  char head[4] = {};
  file.read(head, sizeof(head));
  return file.gcount() == 0 || std::memcmp(head, "PK\x03\x04", sizeof(head)) == 0;
}

std::string damaged(const std::string &path, const std::string &why, uint64_t length)
{
  return path + " is truncated or damaged (" + why + ", " + std::to_string(length) + " bytes); copy it again" +
      (ends_with(path, ".pt2") ? ", or " + make_again(path) : "");
}

}    // namespace

std::string mlip::not_a_model(const std::string &path, const std::string &why)
{
  return path + " is not a compiled model (" + why + "); " + make_another(path);
}

std::string mlip::make_again(const std::string &path)
{
  return "make it again with: mlip-lammps export MODEL -o " + (ends_with(path, ".pt2") ? quoted(path) : "FILE.pt2");
}

Archive::Archive(const std::string &path) : path(path)
{
  struct stat status;
  if (stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode))
    throw std::runtime_error(path + " is a folder, not a model file; name the .pt2 file, or make one with: "
                             "mlip-lammps export MODEL -o FILE.pt2");
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file)
    throw std::runtime_error("cannot open model file " + path + ": " + std::strerror(errno) + "; check the path");
  length = static_cast<uint64_t>(file.tellg());

  try {
    const uint64_t tail_start = length > 70000 ? length - 70000 : 0;
    const std::string tail = read_range(path, tail_start, length - tail_start);
    const size_t end = tail.rfind(std::string("PK\x05\x06", 4));
    if (end == std::string::npos)
      throw std::runtime_error(is_begun(path) ? "no table of contents at its end" : "not a zip archive");

    uint64_t n_members = field<uint16_t>(tail, end + 10);
    uint64_t offset = field<uint32_t>(tail, end + 16);
    if (end >= 20 && field<uint32_t>(tail, end - 20) == LOCATOR64) {
      const std::string end64 = read_range(path, field<uint64_t>(tail, end - 20 + 8), 56);
      n_members = field<uint64_t>(end64, 32);
      offset = field<uint64_t>(end64, 48);
    }
    if (offset > length) throw std::runtime_error("damaged table of contents");

    read_table(read_range(path, offset, length - offset), n_members);
  } catch (const std::runtime_error &e) {
    throw std::runtime_error(is_begun(path) ? damaged(path, e.what(), length) : not_a_model(path, e.what()));
  }
  read_checksums();
}

void Archive::read_table(const std::string &table, uint64_t n_members)
{
  size_t at = 0;
  for (uint64_t k = 0; k < n_members; k++) {
    if (field<uint32_t>(table, at) != CENTRAL) throw std::runtime_error("damaged table of contents");
    Member member;
    member.method = field<uint16_t>(table, at + 10);
    member.crc = field<uint32_t>(table, at + 16);
    member.size = field<uint32_t>(table, at + 24);
    member.header_offset = field<uint32_t>(table, at + 42);
    const size_t n_name = field<uint16_t>(table, at + 28);
    const size_t n_extra = field<uint16_t>(table, at + 30);
    const size_t n_comment = field<uint16_t>(table, at + 32);
    if (at + 46 + n_name > table.size()) throw std::runtime_error("damaged table of contents");
    member.name = table.substr(at + 46, n_name);
    size_t extra = at + 46 + n_name;
    const size_t extra_end = extra + n_extra;
    while (extra + 4 <= extra_end) {
      size_t value = extra + 4;
      if (field<uint16_t>(table, extra) == EXTRA64) {
        if (member.size == SEE_EXTRA) {
          member.size = field<uint64_t>(table, value);
          value += 16;    // skip the compressed size in between
        }
        if (member.header_offset == SEE_EXTRA) member.header_offset = field<uint64_t>(table, value);
      }
      extra += 4 + field<uint16_t>(table, extra + 2);
    }
    members.push_back(member);
    at = extra_end + n_comment;
  }
}

/* Zip checksums travel with a member; these also tell which member has which name. */

void Archive::read_checksums()
{
  const auto names = find("extra/checksums.json", "");
  if (names.empty()) return;
  try {
    const auto listed = nlohmann_lmp::json::parse(read(names[0]));
    for (const auto &entry : listed.items()) checksums[entry.key()] = entry.value().get<uint32_t>();
    for (const auto &member : members)
      if (below_root(member.name) != "extra/checksums.json" && checksums.count(below_root(member.name)) == 0)
        throw std::runtime_error("no checksum of " + member.name);
  } catch (const nlohmann_lmp::json::exception &e) {
    throw std::runtime_error(damaged(path, e.what(), length));
  } catch (const std::runtime_error &e) {
    throw std::runtime_error(damaged(path, e.what(), length));
  }
}

std::vector<std::string> Archive::find(const std::string &prefix, const std::string &suffix) const
{
  std::vector<std::string> found;
  for (const auto &member : members) {
    const std::string below = below_root(member.name);
    if (below.size() >= prefix.size() + suffix.size() && below.compare(0, prefix.size(), prefix) == 0 &&
        below.compare(below.size() - suffix.size(), suffix.size(), suffix) == 0)
      found.push_back(member.name);
  }
  return found;
}

template <typename Bytes> Bytes Archive::read_as(const std::string &name) const
{
  for (const auto &member : members) {
    if (member.name != name) continue;
    try {
      if (member.method != 0) throw std::runtime_error("compressed member " + name);
      const std::string header = read_range(path, member.header_offset, 30);
      if (field<uint32_t>(header, 0) != LOCAL) throw std::runtime_error("damaged member " + name);
      const uint64_t start =
          member.header_offset + 30 + field<uint16_t>(header, 26) + field<uint16_t>(header, 28);
      if (start > length || member.size > length - start) throw std::runtime_error("truncated member " + name);
      auto content = read_range<Bytes>(path, start, member.size);
      const uint32_t found = crc32_of(content.data(), content.size());
      const auto listed = checksums.find(below_root(name));
      if (found != member.crc || (listed != checksums.end() && found != listed->second))
        throw std::runtime_error("wrong checksum of " + name);
      return content;
    } catch (const std::runtime_error &e) {
      throw std::runtime_error(damaged(path, e.what(), length));
    }
  }
  throw std::runtime_error(not_a_model(path, "it has no member " + name));
}

std::string Archive::read(const std::string &name) const
{
  return read_as<std::string>(name);
}

Pages Archive::read_pages(const std::string &name) const
{
  return read_as<Pages>(name);
}
