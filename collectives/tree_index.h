/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_TREE_INDEX_H
#define MU_COLLECTIVES_TREE_INDEX_H

/* The arithmetic of trees, apart from their I/O. -1: none. */

/* Binomial, node 0 is the root: the parent of a node is the node without its lowest bit, child i is
 * the node with bit i added. */
int mu_tree_parent(int node);
int mu_tree_children(int nodes, int node); /* how many */
int mu_tree_child(int node, int i);

/*
 * Two binary trees over the same nodes, in one of which a node is a leaf at least (Sanders, Speck
 * and Traeff 2009), so that each passes on half of a vector only: at most two children in both
 * trees together. Tree 0 of seven nodes, in order; tree 1 is its mirror image, or, for an odd
 * number, the same one node further:
 *
 *        0                1
 *          \                \
 *           4                5
 *         /   \            /   \
 *        2     6          3     0
 *       / \   /          / \   /
 *      1   3 5          2   4 6
 */
struct mu_tree_place {
    int parent, child[2];
};
struct mu_tree_place mu_tree_place(int nodes, int node, int tree);
int mu_tree_root(int nodes, int tree);
/* No path from a root to a leaf is longer. */
int mu_tree_depth(int nodes);

#endif
