/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds each file of a folder to a fuzz target, in the order of names: replay_NAME FOLDER. A file
 * that breaks the target ends the program; the last line of its output says which one it was. */
#include "fuzz.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES_MAX (1 << 21)

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void replay(const char *folder, const char *name, uint8_t *room)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    size_t bytes = fread(room, 1, FILE_BYTES_MAX, file);
    fclose(file);
    /* In memory of exactly its size, so that a sanitizer sees a read beyond the end. */
    uint8_t *data = malloc(bytes > 0 ? bytes : 1);
    for (size_t i = 0; i < bytes; i++)
        data[i] = room[i];
    LLVMFuzzerTestOneInput(data, bytes);
    free(data);
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    int count = argc == 2 ? scandir(argv[1], &entries, is_visible, alphasort) : -1;
    uint8_t *room = malloc(FILE_BYTES_MAX);
    if (count <= 0 || !room) {
        fprintf(stderr, "usage: %s FOLDER, which may not be empty\n", argv[0]);
        return 1;
    }
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        printf("# %s\n", entries[i]->d_name);
        fflush(stdout);
        replay(argv[1], entries[i]->d_name, room);
        printf("ok %d - %s\n", i + 1, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    free(room);
    return 0;
}
