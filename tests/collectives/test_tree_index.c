/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/tree_index.h"
#include "test.h"

#define NODES_MAX 64

/* ---- binomial ---- */

static void every_child_knows_its_parent(void **state)
{
    (void)state;
    for (int nodes = 1; nodes <= NODES_MAX; nodes++) {
        int edges = 0;
        for (int node = 0; node < nodes; node++)
            for (int i = 0; i < mu_tree_children(nodes, node); i++, edges++) {
                int child = mu_tree_child(node, i);
                assert_in_range(child, node + 1, nodes - 1);
                assert_int_equal(mu_tree_parent(child), node);
            }
        assert_int_equal(edges, nodes - 1);
    }
}

static int round_of(int nodes, int node)
{
    int parent = mu_tree_parent(node);
    if (parent < 0)
        return 0;
    int place = 0;
    while (mu_tree_child(parent, place) != node)
        place++;
    return round_of(nodes, parent) + mu_tree_children(nodes, parent) - place;
}

static void a_broadcast_takes_as_many_rounds_as_the_tree_is_deep(void **state)
{
    (void)state;
    for (int nodes = 1; nodes <= NODES_MAX; nodes++) {
        int last = 0;
        for (int node = 0; node < nodes; node++)
            last = round_of(nodes, node) > last ? round_of(nodes, node) : last;
        assert_int_equal(last, mu_tree_depth(nodes));
    }
}

/* ---- two binary trees ---- */

static int children_of(int nodes, int node, int tree)
{
    struct mu_tree_place place = mu_tree_place(nodes, node, tree);
    return (place.child[0] >= 0) + (place.child[1] >= 0);
}

static void children_and_parents_fit_in_both_trees(void **state)
{
    (void)state;
    for (int nodes = 1; nodes <= NODES_MAX; nodes++)
        for (int tree = 0; tree < 2; tree++) {
            int edges = 0;
            for (int node = 0; node < nodes; node++) {
                struct mu_tree_place place = mu_tree_place(nodes, node, tree);
                assert_int_equal(place.parent < 0, node == mu_tree_root(nodes, tree));
                for (int c = 0; c < 2; c++)
                    if (place.child[c] >= 0) {
                        assert_true(place.child[c] < nodes);
                        assert_int_equal(mu_tree_place(nodes, place.child[c], tree).parent, node);
                        edges++;
                    }
            }
            assert_int_equal(edges, nodes - 1);
        }
}

static void every_node_hangs_on_the_root_and_not_too_deep(void **state)
{
    (void)state;
    for (int nodes = 1; nodes <= NODES_MAX; nodes++)
        for (int tree = 0; tree < 2; tree++)
            for (int node = 0; node < nodes; node++) {
                int depth = 0, at = node;
                for (; at != mu_tree_root(nodes, tree); depth++)
                    at = mu_tree_place(nodes, at, tree).parent;
                assert_true(depth <= mu_tree_depth(nodes));
            }
}

static void no_node_has_more_than_two_children_in_both_trees(void **state)
{
    (void)state;
    for (int nodes = 1; nodes <= NODES_MAX; nodes++)
        for (int node = 0; node < nodes; node++)
            assert_true(children_of(nodes, node, 0) + children_of(nodes, node, 1) <= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_child_knows_its_parent),
        cmocka_unit_test(a_broadcast_takes_as_many_rounds_as_the_tree_is_deep),
        cmocka_unit_test(children_and_parents_fit_in_both_trees),
        cmocka_unit_test(every_node_hangs_on_the_root_and_not_too_deep),
        cmocka_unit_test(no_node_has_more_than_two_children_in_both_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
