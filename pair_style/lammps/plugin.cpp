/* ----------------------------------------------------------------------
   Registration of pair_style mlip/torch as a LAMMPS plugin.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "pair_mlip_torch.h"

#include "error.h"
#include "lammps.h"
#include "library.h"

#include <string>

using namespace LAMMPS_NS;

// What LAMMPS hands to and expects of a plugin (its lammpsplugin.h, which the wheel does not ship).
extern "C" {
typedef struct {
  const char *version;
  const char *style;
  const char *name;
  const char *info;
  const char *author;
  union {
    void *(*v1)(void *);
    void *(*v2)(void *, int, char **);
  } creator;
  void *handle;
} lammpsplugin_t;

typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *, void *);

__attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle, void *regfunc);
}

/* ---------------------------------------------------------------------- */

static void *create_pair(void *lmp)
{
  return new PairMlipTorch(static_cast<LAMMPS *>(lmp));
}

/* ----------------------------------------------------------------------
   stands in for the style where the classes may be laid out differently:
   touches nothing but the error class
------------------------------------------------------------------------- */

static void *refuse(void *handle)
{
  auto *lmp = static_cast<LAMMPS *>(handle);
  const int running = lammps_version(handle);
  std::string text = "mlip/torch: plugin built for LAMMPS " + std::to_string(MLIP_LAMMPS_VERSION) + " with " +
      std::to_string(8 * sizeof(tagint)) + "-bit atom IDs, running " + std::to_string(running) + " with " +
      std::to_string(8 * lammps_extract_setting(handle, "tagint")) + "-bit; run: mlip-lammps build-plugin";
  lmp->error->all(FLERR, text);
  return nullptr;
}

/* ---------------------------------------------------------------------- */

void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  const bool is_ours = lammps_version(lmp) == MLIP_LAMMPS_VERSION &&
      lammps_extract_setting(lmp, "tagint") == static_cast<int>(sizeof(tagint));

  lammpsplugin_t plugin;
  plugin.version = MLIP_LAMMPS_VERSION_TEXT;
  plugin.style = "pair";
  plugin.name = "mlip/torch";
  plugin.info = "mlip/torch pair style, MACE models on any number of ranks";
  plugin.author = "the mlip-lammps developers";
  plugin.creator.v1 = is_ours ? &create_pair : &refuse;
  plugin.handle = handle;
  (*reinterpret_cast<lammpsplugin_regfunc>(regfunc))(&plugin, lmp);
}
