/* -*- c++ -*- ----------------------------------------------------------
   The models named in pair_coeff: reading them on every rank, the elements
   of atom types, and messages about them.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_LOADED_MODELS_H
#define LMP_LOADED_MODELS_H

#include "committee.h"
#include "file_stamp.h"
#include "restart_record.h"

#include "pointers.h"

#include <map>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class Agreement;

class LoadedModels : protected Pointers {
 public:
  LoadedModels(LAMMPS *lmp, Agreement &agreement) : Pointers(lmp), agreement(agreement) {}

  mlip::Committee committee;
  std::vector<int> kind_of_type;    // by atom type, from 1; -1: a type without a model

  /* Both are collective and stop every rank on unsuitable files or elements. device: auto, cpu or cuda. */
  void open(const std::vector<std::string> &paths, int n_threads, const std::string &device);
  void map_types(const std::vector<std::string> &symbols, bool is_null_allowed);

  /* Returns an empty text if the models are for this device, else an error message. */
  std::string find_other_device(const std::string &device) const;

  /* Returns an empty text, or an error message if several models are given and one has a sum over all atoms. */
  std::string find_unsupported_sum() const;

  /* Gives every model these numbers of the whole system, by name, and defaults for the others. Returns an empty text, or
     an error message if a model does not take one of them. */
  std::string set_global_inputs(const std::map<std::string, double> &given);

  /* Row of each kind in the model's element table. */
  std::vector<int64_t> species_of_kind(int model) const;

  RestartRecord record() const;

  /* Text that identifies the models and the elements of atom types. */
  std::string digest() const;

  /* Called on one rank. */
  void log(int n_threads) const;
  void warn_of_replaced_files();

  /* Collective; rank 0 warns once for each pair_coeff. */
  void warn_of_swapped_elements();

 private:
  Agreement &agreement;
  std::vector<mlip::FileStamp> stamps;
  bool has_warned_of_masses = false;
  std::vector<std::string> symbols;    // by atom type, from type 1
  std::vector<std::vector<double>> global_inputs;    // of each model
  std::vector<std::string> defaults;                 // names and values of those that pair_style does not give
};

}    // namespace LAMMPS_NS

#endif
