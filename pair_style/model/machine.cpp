#include "machine.h"

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <sys/utsname.h>

std::string mlip::machine_architecture()
{
  utsname name;
  return uname(&name) == 0 ? name.machine : "unknown";
}

std::vector<std::string> mlip::missing_instructions(const std::vector<std::string> &wanted)
{
  std::set<std::string> present;
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (present.empty() && std::getline(file, line)) {
    if (line.rfind("flags", 0) != 0 && line.rfind("Features", 0) != 0) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::string word; words >> word;) present.insert(word);
  }
  std::vector<std::string> missing;
  for (const auto &name : wanted)
    if (!present.count(name)) missing.push_back(name);
  return missing;
}

int mlip::local_rank()
{
  for (const char *name :
       {"MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "MV2_COMM_WORLD_LOCAL_RANK"})
    if (const char *value = std::getenv(name)) return std::atoi(value);
  return 0;
}
