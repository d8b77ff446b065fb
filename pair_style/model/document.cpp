#include "document.h"

#include "archive.h"
#include "machine.h"
#include "model.h"
#include "torch_shim.h"

#include <algorithm>
#include <stdexcept>

using namespace mlip;
using json = nlohmann_lmp::json;

namespace {

constexpr int FORMAT_VERSION = 8;

GlobalInput read_input(const json &d)
{
  GlobalInput input;
  input.name = d.at("name").get<std::string>();
  input.default_value = d.at("default").get<double>();
  input.is_integer = d.at("is_integer").get<bool>();
  input.has_bounds = !d.at("lowest").is_null();
  if (input.has_bounds) {
    input.lowest = d.at("lowest").get<double>();
    input.highest = d.at("highest").get<double>();
  }
  return input;
}

LatentEwaldSettings read_latent_ewald(const json &d)
{
  LatentEwaldSettings settings;
  settings.is_used = true;
  settings.sigma = d.at("sigma").get<double>();
  settings.resolution = d.at("resolution").get<double>();
  settings.strength = d.at("strength").get<double>();
  settings.has_self_interaction = d.at("has_self_interaction").get<bool>();
  if (!(settings.sigma > 0.0 && settings.resolution > 0.0 && settings.strength > 0.0))
    throw std::runtime_error("a setting of the latent charges is not above 0");
  return settings;
}

PairTableRecord read_pair_tables(const json &d)
{
  PairTableRecord record;
  for (const auto &table : d.at("tables"))
    record.tables.push_back({table.at("name").get<std::string>(), table.at("n_values").get<int64_t>(),
                             table.at("value_bytes").get<int>()});
  record.pairs = d.at("pairs").get<std::vector<int64_t>>();
  record.kind_of_pair = d.at("kind_of_pair").get<std::vector<int64_t>>();
  return record;
}

std::string release(const std::string &version)
{
  return version.substr(0, version.find('+'));
}

}    // namespace

/* ---------------------------------------------------------------------- */

Document mlip::read_document(const Archive &archive, const std::string &path)
{
  const auto names = archive.find("extra/mlip_lammps.json", "");
  if (names.size() != 1)
    throw std::runtime_error(not_a_model(path, "it has no metadata block"));
  try {
    Document document;
    document.content = json::parse(archive.read(names[0]));
    const auto &d = document.content;
    const int version = d.at("format_version").get<int>();
    if (version != FORMAT_VERSION)
      throw std::runtime_error("it has format version " + std::to_string(version) + ", but this package reads " +
                               std::to_string(FORMAT_VERSION));
    if (d.value("has_checksums", false) && !archive.has_checksums())
      throw std::runtime_error("the list of checksums is missing");
    auto &m = document.metadata;
    m.elements = d.at("elements").get<std::vector<std::string>>();
    m.cutoff = d.at("cutoff").get<double>();
    m.angle_cutoff = d.value("angle_cutoff", 0.0);
    m.max_bonds = d.value("max_bonds", int64_t(0));
    m.node_properties = d.value("node_properties", std::vector<std::string>());
    m.n_layers = d.at("n_layers").get<int64_t>();
    m.feature_widths = d.at("feature_widths").get<std::vector<int64_t>>();
    m.dtype = d.at("dtype").get<std::string>();
    m.skip_widths = d.at("skip_widths").get<std::vector<int64_t>>();
    m.message_widths = d.at("message_widths").get<std::vector<int64_t>>();
    m.feature_bytes = m.dtype == "float64" ? 8 : 4;
    m.build_id = d.at("build_id").get<std::string>();
    m.source_sha256 = d.at("source").at("sha256").get<std::string>();
    m.source_name = d.at("source").at("name").get<std::string>();
    for (const auto &row : d.value("min_distances", json::array()))
      for (const auto &distance : row) m.min_distances.push_back(distance.get<double>());
    for (const auto &input : d.value("global_inputs", json::array())) m.global_inputs.push_back(read_input(input));
    if (d.contains("latent_ewald")) m.latent_ewald = read_latent_ewald(d.at("latent_ewald"));
    m.head = d.value("head", "Default");
    m.device = d.at("device").get<std::string>();
    // files for a GPU need neither chunks nor torch
    m.chunk_atoms = m.device == "cuda" ? d.value("chunk_atoms", int64_t(1)) : d.at("chunk_atoms").get<int64_t>();
    m.torch_version = m.device == "cuda" ? d.value("torch_version", "") : d.at("torch_version").get<std::string>();
    if (m.chunk_atoms < 1) throw std::runtime_error("chunk_atoms is below 1");
    if (!(m.angle_cutoff >= 0.0 && m.angle_cutoff <= m.cutoff))
      throw std::runtime_error("the cutoff of the angles is not between 0 and the cutoff");
    if (m.n_layers < 1 || static_cast<int64_t>(m.feature_widths.size()) != m.n_layers - 1 ||
        m.skip_widths.size() != m.feature_widths.size() ||
        m.message_widths.size() != m.feature_widths.size() + (m.latent_ewald.is_used ? 1 : 0))
      throw std::runtime_error("the numbers of layers and feature widths do not match");
    if (m.latent_ewald.is_used && m.node_properties.size() != 1)
      throw std::runtime_error("a model with latent charges has them as its only node property");
    if (!m.min_distances.empty() && m.min_distances.size() != m.elements.size() * m.elements.size())
      throw std::runtime_error("the smallest distances do not match the elements");
    if (d.contains("pair_tables")) {
      document.pair_tables = read_pair_tables(d.at("pair_tables"));
      document.pair_tables.check(static_cast<int64_t>(m.elements.size()));
    }
    return document;
  } catch (const json::exception &e) {
    throw std::runtime_error(path + ": damaged metadata (" + e.what() + "); " + make_again(path));
  } catch (const std::runtime_error &e) {
    throw std::runtime_error(path + ": " + e.what() + "; " + make_again(path));
  }
}

void mlip::require_this_machine(const Document &document, const std::string &path, const std::string &torch_dir)
{
  if (document.metadata.device == "cuda") return;    // the GPU is checked when the model is opened
  const std::string again =
      "; export it again here: mlip-lammps export " + document.content.at("source").at("name").get<std::string>() +
      " -o " + path;
  const std::string found = Torch::version(torch_dir);
  const std::string wanted = document.metadata.torch_version;
  if (release(found) != release(wanted))
    throw std::runtime_error(path + " was compiled with torch " + wanted + ", but this environment has torch " + found +
                             again);
  const auto &machine = document.content.at("machine");
  const auto architecture = machine.at("architecture").get<std::string>();
  if (architecture != machine_architecture())
    throw std::runtime_error(path + " was compiled for " + architecture + ", but this machine is " +
                             machine_architecture() + again);
  const auto missing = missing_instructions(machine.at("cpu_flags").get<std::vector<std::string>>());
  if (!missing.empty())
    throw std::runtime_error(path + " was compiled for another processor; this one lacks " + missing[0] + again);
}

Metadata mlip::read_metadata(const std::string &path)
{
  return read_document(Archive(path), path).metadata;
}
