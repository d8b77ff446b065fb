/* ----------------------------------------------------------------------
   Record of pair_style mlip/torch in a restart file.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "restart_record.h"

#include "pair_arguments.h"

#include "lammps.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <stdexcept>

using namespace LAMMPS_NS;
using json = nlohmann_lmp::json;

static constexpr int VERSION = 1;
static constexpr int MAX_BYTES = 1 << 24;

/* ---------------------------------------------------------------------- */

bool RestartRecord::is_like(const RestartRecord &other) const
{
  const auto sorted = [](const RestartRecord &record) {
    std::vector<std::string> keys;
    for (const auto &model : record.models) keys.push_back(model.sha256 + " " + model.head);
    std::sort(keys.begin(), keys.end());
    return keys;
  };
  return symbols == other.symbols && sorted(*this) == sorted(other);
}

/* ---------------------------------------------------------------------- */

std::string RestartRecord::describe() const
{
  std::vector<std::string> words;
  for (const auto &model : models)
    words.push_back(model.file + " from " + model.name + ", sha256 " + model.sha256.substr(0, 12) + ", head " +
                    model.head);
  return join(words, "; ") + "; types " + join(symbols, " ");
}

/* ---------------------------------------------------------------------- */

void RestartRecord::write(FILE *fp) const
{
  json document = {{"version", VERSION}, {"settings", settings}, {"symbols", symbols}, {"models", json::array()}};
  for (const auto &model : models)
    document["models"].push_back(
        {{"file", model.file}, {"name", model.name}, {"sha256", model.sha256}, {"head", model.head}});
  // file names can be in any encoding
  const std::string text = document.dump(-1, ' ', false, json::error_handler_t::replace);
  const int length = static_cast<int>(text.size());
  fwrite(&length, sizeof(int), 1, fp);
  fwrite(text.data(), 1, length, fp);
}

/* ---------------------------------------------------------------------- */

RestartRecord RestartRecord::read(FILE *fp, MPI_Comm world)
{
  int me = 0, length = 0;
  MPI_Comm_rank(world, &me);
  std::string text;
  if (me == 0) {
    if (fread(&length, sizeof(int), 1, fp) != 1 || length < 0 || length > MAX_BYTES) length = 0;
    text.resize(length);
    if (fread(&text[0], 1, length, fp) != static_cast<std::size_t>(length)) length = 0;
  }
  MPI_Bcast(&length, 1, MPI_INT, 0, world);
  text.resize(length);
  MPI_Bcast(&text[0], length, MPI_CHAR, 0, world);

  RestartRecord record;
  try {
    const json document = json::parse(text);
    if (document.at("version").get<int>() != VERSION) throw std::runtime_error("unknown record version");
    record.settings = document.at("settings").get<std::vector<std::string>>();
    record.symbols = document.at("symbols").get<std::vector<std::string>>();
    for (const auto &model : document.at("models"))
      record.models.push_back({model.at("file").get<std::string>(), model.at("name").get<std::string>(),
                               model.at("sha256").get<std::string>(), model.at("head").get<std::string>()});
  } catch (const std::exception &e) {
    throw std::runtime_error(std::string("cannot read the model record of the restart file (") + e.what() +
                             "); write the file again with this version, or start from a data file");
  }
  return record;
}

/* ---------------------------------------------------------------------- */

static std::map<const LAMMPS *, std::vector<RestartRecord>> &kept_records()
{
  static std::map<const LAMMPS *, std::vector<RestartRecord>> records;
  return records;
}

void LAMMPS_NS::keep_record(const LAMMPS *lmp, const RestartRecord &record)
{
  kept_records()[lmp].push_back(record);
}

void LAMMPS_NS::forget_records(const LAMMPS *lmp)
{
  kept_records().erase(lmp);
}

/* ---------------------------------------------------------------------- */

std::string LAMMPS_NS::find_other_model(const LAMMPS *lmp, const RestartRecord &given)
{
  if (lmp->restart_ver < 0) forget_records(lmp);    // the box does not come from a restart file
  const auto found = kept_records().find(lmp);
  if (found == kept_records().end()) return "";
  std::vector<std::string> written;
  for (const auto &record : found->second) {
    if (record.is_like(given)) return "";
    written.push_back(record.describe());
  }
  return "the restart file was written with " + join(written, " and with ") + ", but pair_coeff names " +
      given.describe() + "; name the model of the restart file, or allow another: pair_style mlip/torch restart any";
}
