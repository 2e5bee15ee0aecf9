/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/tree_index.h"

static int lowest_bit(int node)
{
    return node & -node;
}

/* ---- binomial ---- */

int mu_tree_parent(int node)
{
    return node == 0 ? -1 : node - lowest_bit(node);
}

int mu_tree_children(int nodes, int node)
{
    int count = 0;
    while ((node == 0 || 1 << count < lowest_bit(node)) && node + (1 << count) < nodes)
        count++;
    return count;
}

int mu_tree_child(int node, int i)
{
    return node + (1 << i);
}

/* ---- binary ---- */

/* In order: node 0 is above the largest power of two; below a node with lowest bit b are node - b/2
 * and the first of node + b/2, node + b/4, ... that there is. */
static struct mu_tree_place place_in_order(int nodes, int node)
{
    struct mu_tree_place place = {-1, {-1, -1}};
    int bit = lowest_bit(node);
    if (node == 0) {
        for (int top = 1; top < nodes; top *= 2)
            place.child[1] = top;
        return place;
    }
    place.parent = (node - bit) | 2 * bit;
    if (place.parent >= nodes)
        place.parent = node - bit;
    if (bit == 1)
        return place;
    place.child[0] = node - bit / 2;
    for (int step = bit / 2; step > 0 && place.child[1] < 0; step /= 2)
        if (node + step < nodes)
            place.child[1] = node + step;
    return place;
}

/* Tree 1 is its own way back for the mirror image; for an odd number it turns by one. */
static int turned(int nodes, int node, int by)
{
    if (node < 0)
        return -1;
    return nodes % 2 == 0 ? nodes - 1 - node : (node + by + nodes) % nodes;
}

struct mu_tree_place mu_tree_place(int nodes, int node, int tree)
{
    if (tree == 0)
        return place_in_order(nodes, node);
    struct mu_tree_place place = place_in_order(nodes, turned(nodes, node, -1));
    return (struct mu_tree_place){
        .parent = turned(nodes, place.parent, 1),
        .child = {turned(nodes, place.child[0], 1), turned(nodes, place.child[1], 1)},
    };
}

int mu_tree_root(int nodes, int tree)
{
    return tree == 0 ? 0 : turned(nodes, 0, 1);
}

int mu_tree_depth(int nodes)
{
    int depth = 0;
    while (1 << depth < nodes)
        depth++;
    return depth;
}
