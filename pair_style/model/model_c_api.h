/* The model side for Python (ctypes): a single process, no ghosts, no exchange. */

#ifndef MLIP_MODEL_C_API_H
#define MLIP_MODEL_C_API_H

#include <stdint.h>

extern "C" {

typedef struct mlip_model mlip_model;

/* Opens a compiled model. On failure returns null and writes error (n_error bytes). n_threads 0: default of torch. */
mlip_model *mlip_model_open(const char *path, const char *torch_dir, int n_threads, char *error, int64_t n_error);
/* Threads of later evaluations, for instance 1 after a fork, which OpenMP's threads do not survive. Returns the number of
   threads that torch had before, or 0 if that is unknown. */
int mlip_model_set_threads(mlip_model *model, int n_threads);
void mlip_model_close(mlip_model *model);

/* Energies (n_atoms) and edge gradients (n_edges, 3) of a graph without ghosts. global_inputs has a value for each global
   input of the metadata. edge_moments (n_edges, 3, 3) for atoms without periodic images, or null; they need positions
   (n_atoms, 3), as models with latent charges do, which also need the cell (3, 3), null without periods.
   node_properties (n_atoms, n_properties) of the metadata, or null. charge_weights (n_atoms) of the graph, or null. What a sum over all atoms adds, for models with
   latent charges: node_forces (n_atoms, 3), virial (6) and node_virials (n_atoms, 6), or null. Returns 0, or 1 with a
   message in error. */
int mlip_model_evaluate(mlip_model *model, int64_t n_atoms, int64_t n_edges, const int64_t *species,
                        const double *edge_vectors, const int64_t *edge_centre, const int64_t *edge_neighbour,
                        const double *global_inputs, const double *positions, const double *cell,
                        const double *charge_weights, double *node_energies, double *edge_gradients, double *edge_moments, double *node_properties, double *node_forces,
                        double *virial, double *node_virials, char *error, int64_t n_error);

/* Returns 1 if the model finds its own edges, on a GPU. */
int mlip_model_finds_edges(const mlip_model *model);

/* The GPU of a model: name (n_name bytes), empty on a CPU; memory (2) with the free and the total bytes. Returns 0,
   or 1 with a message in error. */
int mlip_model_gpu(const mlip_model *model, char *name, int64_t n_name, int64_t *memory, char *error, int64_t n_error);

/* One step of a model that finds its own edges, see contract.h. owner (n_ghost) may be null without ghosts. Energies
   (n_local), forces (n_local, 3), totals (7) with the energy and the virial xx yy zz xy xz yz, closest (2) rows of the
   closest pair below its smallest distance or -1. Returns 0, or 1 with a message in error. */
int mlip_model_step(mlip_model *model, int64_t n_local, int64_t n_ghost, const int64_t *species,
                    const double *positions, const int32_t *owner, int is_new, double reach, double *node_energies,
                    double *forces, double *totals, int32_t *closest, char *error, int64_t n_error);

/* Seconds spent in the phases of that name since the model was opened. */
double mlip_model_seconds(const mlip_model *model, const char *phase);
}

#endif
