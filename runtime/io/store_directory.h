/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_STORE_DIRECTORY_H
#define MU_IO_STORE_DIRECTORY_H

#include "runtime/base/store.h"

/*
 * The store on disk: `path` is the folder of the entries ("runs/mnist/checkpoints"), an entry is a
 * folder in it named by its number ("500"), its files are plain files (0600). The folder is made at
 * the first put; until then, and where it is missing, the store is empty.
 *
 * An entry is written in a hidden folder beside the others, each file synced, the hidden folder
 * synced, then renamed to its number and the parent synced: whatever instant the machine stops at,
 * an entry is whole or absent. What a crash leaves hidden is removed by the next put. Symbolic
 * links are followed nowhere below `path`; an entry that is one is warned of when the store is
 * opened.
 */
enum mu_status mu_store_directory_open(
    struct mu_log *log, const char *path, struct mu_store **ret_store); /* NO_MEMORY, USAGE */

#endif
