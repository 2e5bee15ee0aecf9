/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_rig.h"

#include "roles/audit/audit_replay.h"
#include <unistd.h>

/* Whole jobs with an audit log, in every mode: replayed, they come to the parameters of the run;
 * damaged, they say so. */
#define REPLICAS 4
#define SERVERS 2

static const char *path;

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0"; /* of killed tasks, as simulate.h says */
}

struct mode {
    const char *sets[4];
    enum mu_verdict verdict; /* that is among those given */
};

static const struct mode modes[] = {
    {{"mode.kind=async", "mode.in_flight=2"}, MU_VERDICT_APPLY},
    {{"mode.kind=async", "mode.policy=scale", "optimizer.kind=adam"}, MU_VERDICT_SCALE},
    {{"mode.kind=async", "mode.policy=drop", "mode.bound=2"}, MU_VERDICT_DROP},
    {{"mode.kind=async", "mode.policy=compensate", "mode.in_flight=3"}, MU_VERDICT_CORRECT},
    {{"mode.kind=async", "mode.policy=compensate", "mode.adaptive=false", "mode.lambda=0.5"},
        MU_VERDICT_CORRECT},
    {{"mode.kind=softsync", "mode.gradients=5", "mode.policy=scale"}, MU_VERDICT_GATHER},
    {{"mode.kind=softsync", "mode.gradients=3", "mode.warmup_steps=5"}, MU_VERDICT_GATHER},
    {{"mode.kind=sync", "mode.workers=3", "mode.backups=1"}, MU_VERDICT_DROP},
    {{"mode.kind=sync", "mode.workers=4", "optimizer.kind=lamb"}, MU_VERDICT_GATHER},
    {{"mode.kind=bounded", "mode.bound=0"}, MU_VERDICT_APPLY},
    {{"mode.kind=bounded", "mode.bound=2", "mode.policy=scale", "mode.warmup_steps=7"},
        MU_VERDICT_SCALE},
    {{"mode.kind=bounded", "mode.bound=2", "mode.policy=compensate"}, MU_VERDICT_CORRECT},
    {{"mode.kind=sync", "mode.backups=auto", "mode.auto_steps=4"}, MU_VERDICT_GATHER},
    {{"mode.kind=bounded", "mode.bound=auto", "mode.auto_steps=4", "mode.policy=scale"},
        MU_VERDICT_SCALE},
    {{"mode.kind=async",
         "mode.schedule=[{\"from_step\": 5, \"kind\": \"bounded\", \"bound\": \"auto\", "
         "\"auto_steps\": 4}, {\"from_step\": 40, \"kind\": \"sync\", \"backups\": \"auto\"}]"},
        MU_VERDICT_GATHER},
    {{"mode.kind=softsync", "mode.gradients=3",
         "mode.schedule=[{\"from_epoch\": 1, \"kind\": \"sync\", \"workers\": 3}]"},
        MU_VERDICT_DROP},
    {{"mode.kind=bounded", "mode.bound=0", "mode.warmup_epochs=1",
         "mode.schedule=[{\"from_step\": 40, \"kind\": \"async\", \"policy\": \"compensate\"}, "
         "{\"from_step\": 50, \"kind\": \"bounded\", \"bound\": 1}, "
         "{\"from_step\": 55, \"kind\": \"softsync\", \"gradients\": 2, \"policy\": \"scale\"}]"},
        MU_VERDICT_CORRECT},
};

/* ---- files ---- */

/* Of a log, in the caller's memory until it is freed. */
static char *read_log(const char *name, size_t *ret_bytes)
{
    char file_name[SIM_RIG_NAME_MAX];
    sim_rig_file(file_name, name);
    FILE *file = fopen(file_name, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *ret_bytes = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*ret_bytes);
    assert_int_equal(fread(data, 1, *ret_bytes, file), *ret_bytes);
    fclose(file);
    return data;
}

static void write_log(const char *name, const char *data, size_t bytes)
{
    char file_name[SIM_RIG_NAME_MAX];
    sim_rig_file(file_name, name);
    FILE *file = fopen(file_name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    fclose(file);
}

/* ---- runs ---- */

static struct mu_test_log run_log;

static struct sim_rig_fault *fault;

static enum mu_status run_job(const struct mode *mode, uint64_t seed, bool resume)
{
    const char *sets[16] = {"data.samples=610", "data.test_samples=50", "data.batch=20",
        "model.widths=[784,4,10]", "train.epochs=2", "mode.policy=apply", "mode.audit=true"};
    for (int i = 0; i < 4 && mode->sets[i]; i++)
        sets[7 + i] = mode->sets[i];
    const struct sim_rig_run run = {.job = path,
        .sets = sets,
        .replicas = REPLICAS,
        .servers = SERVERS,
        .seed = seed,
        .sigma = 0.8,
        .resume = resume,
        .fault = fault};
    return sim_rig_run(&run, &run_log);
}

static void simulate_or_resume(const struct mode *mode, uint64_t seed, bool resume)
{
    if (run_job(mode, seed, resume) != MU_OK)
        fail_msg("%s: %s", mode->sets[0], run_log.text);
}

static void simulate(const struct mode *mode, uint64_t seed)
{
    simulate_or_resume(mode, seed, false);
}

static enum mu_status replay(
    struct mu_test_log *test_log, int64_t to, struct mu_audit_replayed *ret_replayed)
{
    char out_dir[SIM_RIG_NAME_MAX];
    sim_rig_file(out_dir, "");
    return mu_audit_replay(mu_test_log_init(test_log), out_dir, to, ret_replayed);
}

static void a_replay_comes_to_the_parameters_of_the_run(void **state)
{
    static struct mu_test_log test_log;
    struct mu_audit_replayed replayed;
    for (size_t m = 0; m < MU_COUNT_OF(modes); m++)
        for (uint64_t seed = 1; seed <= 2; seed++) {
            simulate(&modes[m], seed);
            if (replay(&test_log, -1, &replayed) != MU_OK)
                fail_msg("%s %s: %s", modes[m].sets[0], modes[m].sets[1], test_log.text);
            assert_int_equal(replayed.parameters_crc32c, sim_rig_crc_of_summary());
            assert_int_equal(replayed.server_count, SERVERS);
            assert_int_not_equal(replayed.verdicts[modes[m].verdict], 0);
        }
}

static void a_replay_stops_at_any_version(void **state)
{
    static struct mu_test_log test_log;
    struct mu_audit_replayed at, before, end;
    simulate(&modes[0], 1);
    assert_ok(replay(&test_log, -1, &end));
    assert_ok(replay(&test_log, end.version, &at));
    assert_int_equal(at.parameters_crc32c, end.parameters_crc32c);
    assert_ok(replay(&test_log, end.version - 1, &before));
    assert_int_equal(before.version, end.version - 1);
    assert_int_not_equal(before.parameters_crc32c, end.parameters_crc32c);
    assert_int_equal(replay(&test_log, end.version + 1, &at), MU_USAGE);
    assert_said(&test_log, "the log has versions 0 to");
}

#define SCHEDULE                                                                                   \
    "mode.schedule=[{\"from_step\": 10, \"kind\": \"sync\", \"backups\": 1}, "                     \
    "{\"from_step\": 20, \"kind\": \"async\", \"policy\": \"scale\"}, "                            \
    "{\"from_step\": 30, \"kind\": \"bounded\", \"bound\": 1}]"

static void a_resumed_run_is_in_the_entry_of_its_step(void **state)
{
    static struct mu_test_log test_log;
    static const struct mode parts[] = {
        {{"mode.kind=async", SCHEDULE, "train.steps=25"}, MU_VERDICT_GATHER},
        {{"mode.kind=async", SCHEDULE, "train.steps=45"}, MU_VERDICT_SCALE}};
    struct mu_audit_replayed replayed;
    simulate(&parts[0], 1);
    assert_ok(replay(&test_log, -1, &replayed));
    int64_t version = replayed.version;
    assert_in_range(version, 25, 29);
    simulate_or_resume(&parts[1], 1, true);
    char said[64];
    snprintf(said, sizeof(said), "from version %d on: mode `async`, policy `scale`", (int)version);
    assert_said(&run_log, said);
    assert_said(&run_log, "from version 30 on: mode `bounded` by 1");
    assert_null(strstr(run_log.text, "mode `sync`"));
    assert_ok(replay(&test_log, -1, &replayed));
    assert_int_equal(replayed.version_first, version);
    assert_int_equal(replayed.parameters_crc32c, sim_rig_crc_of_summary());
    assert_int_equal(replayed.verdicts[MU_VERDICT_GATHER], 0);
}

/* ---- logs before the last ones ---- */

static void what_was_resumed_follows_from_the_logs_before(void **state)
{
    static struct mu_test_log test_log;
    static const struct mode parts[] = {
        {{"mode.kind=async", "optimizer.kind=adam", "train.steps=20"}, MU_VERDICT_APPLY},
        {{"mode.kind=async", "optimizer.kind=adam", "train.steps=40"}, MU_VERDICT_APPLY},
        {{"mode.kind=async", "optimizer.kind=adam", "train.steps=60"}, MU_VERDICT_APPLY}};
    struct mu_audit_replayed replayed;
    size_t bytes;
    simulate(&parts[0], 1);
    simulate_or_resume(&parts[1], 1, true);
    simulate_or_resume(&parts[2], 1, true);
    assert_ok(replay(&test_log, -1, &replayed));
    assert_int_equal(replayed.parameters_crc32c, sim_rig_crc_of_summary());
    assert_int_equal(replayed.earlier_count, 2);
    assert_int_equal(replayed.version_earliest, 0);
    /* A version that only they have. */
    assert_ok(replay(&test_log, 10, &replayed));
    assert_int_equal(replayed.version, 10);
    assert_int_equal(replayed.version_first, 0);

    char *data = read_log("audit/ps-1.log.2", &bytes);
    data[bytes / 2] ^= 1;
    write_log("audit/ps-1.log.2", data, bytes);
    assert_ok(replay(&test_log, -1, &replayed));
    assert_int_equal(replayed.earlier_count, 0);
    assert_int_equal(replayed.version_earliest, replayed.version_first);
    assert_said(&test_log, "ps-0.log.2 and those of that time do not lead to it: ");
    free(data);
}

/* Sound in itself, but of another run that came to the same version. */
static void logs_that_make_other_parameters_lead_nowhere(void **state)
{
    static struct mu_test_log test_log;
    static const struct mode parts[] = {
        {{"mode.kind=bounded", "mode.bound=0", "train.steps=20"}, MU_VERDICT_APPLY},
        {{"mode.kind=bounded", "mode.bound=0", "train.steps=40"}, MU_VERDICT_APPLY}};
    struct mu_audit_replayed replayed;
    char *other[SERVERS];
    size_t bytes[SERVERS];
    simulate(&parts[1], 2);
    other[0] = read_log("audit/ps-0.log", &bytes[0]);
    other[1] = read_log("audit/ps-1.log", &bytes[1]);
    simulate(&parts[0], 1);
    simulate_or_resume(&parts[1], 1, true);
    write_log("audit/ps-0.log.1", other[0], bytes[0]);
    write_log("audit/ps-1.log.1", other[1], bytes[1]);
    assert_ok(replay(&test_log, -1, &replayed));
    assert_int_equal(replayed.parameters_crc32c, sim_rig_crc_of_summary());
    assert_int_equal(replayed.earlier_count, 0);
    assert_said(&test_log, "they make other parameters");
    free(other[0]);
    free(other[1]);
}

/* ---- standbys ---- */

static const struct mode twice[] = {
    {{"mode.replicas=1", "mode.kind=async", "mode.in_flight=2"}, MU_VERDICT_APPLY},
    {{"mode.replicas=1", "mode.kind=async", "mode.policy=compensate"}, MU_VERDICT_CORRECT},
    {{"mode.replicas=1", "mode.kind=softsync", "mode.gradients=3"}, MU_VERDICT_GATHER},
    {{"mode.replicas=1", "mode.kind=sync", "mode.workers=3", "mode.backups=1"}, MU_VERDICT_DROP},
};

static int64_t length_of_run(const struct mode *mode)
{
    struct sim_rig_fault none = {.at_ns = INT64_MAX};
    fault = &none;
    simulate(mode, 1);
    fault = NULL;
    return none.last_ns;
}

#define POINTS 8

/* Whoever was lost, and whenever: the logs of those that went on have all of it. */
static int replay_without(const struct mode *mode, struct sim_rig_fault *lost)
{
    static struct mu_test_log test_log;
    struct mu_audit_replayed replayed;
    fault = lost;
    enum mu_status status = run_job(mode, 1, false);
    fault = NULL;
    if (!strstr(run_log.text, "; the run goes on without it"))
        return 0;
    if (status != MU_OK || replay(&test_log, -1, &replayed) != MU_OK)
        fail_msg("%s, ps/%d lost at %lld: %s\n%s", mode->sets[1], lost->server,
            (long long)lost->at_ns, test_log.text, run_log.text);
    assert_int_equal(replayed.parameters_crc32c, sim_rig_crc_of_summary());
    assert_true(replayed.standby[lost->server]);
    assert_false(replayed.standby[1 - lost->server]);
    return 1;
}

static void a_replay_of_a_run_that_lost_a_server_has_all_of_it(void **state)
{
    int lost_count = 0;
    for (size_t m = 0; m < MU_COUNT_OF(twice); m++) {
        int64_t length_ns = length_of_run(&twice[m]);
        for (int server = 0; server < SERVERS; server++)
            for (int k = 0; k < POINTS; k++) {
                struct sim_rig_fault lost = {.server = server, .at_ns = length_ns * k / POINTS + k};
                lost_count += replay_without(&twice[m], &lost);
            }
    }
    assert_in_range(lost_count, MU_COUNT_OF(twice) * POINTS, 2 * MU_COUNT_OF(twice) * POINTS);
}

/* It wakes up, and ends its logs in order: but not where the others are. */
static void the_logs_of_a_server_that_hung_and_was_lost_count_for_nothing(void **state)
{
    int64_t length_ns = length_of_run(&twice[0]);
    int lost_count = 0;
    for (int server = 0; server < SERVERS; server++)
        for (int k = 1; k < POINTS; k++) {
            struct sim_rig_fault lost = {
                .server = server, .at_ns = length_ns * k / POINTS, .hangs_ns = 8 * MU_SECOND};
            lost_count += replay_without(&twice[0], &lost);
        }
    assert_in_range(lost_count, POINTS, 2 * POINTS);
}

static void both_logs_of_a_part_are_of_the_same_bits(void **state)
{
    static struct mu_test_log test_log;
    static const struct mode one = {
        {"mode.replicas=1", "mode.kind=async", "mode.policy=scale"}, MU_VERDICT_SCALE};
    struct mu_audit_replayed own, other;
    char name[SIM_RIG_NAME_MAX];
    simulate(&one, 1);
    assert_ok(replay(&test_log, -1, &own));
    assert_false(own.standby[0] || own.standby[1]);
    for (int i = 0; i < SERVERS; i++) {
        char log_name[32];
        snprintf(log_name, sizeof(log_name), "audit/ps-%d.log", i);
        sim_rig_file(name, log_name);
        assert_int_equal(unlink(name), 0);
    }
    assert_ok(replay(&test_log, -1, &other));
    assert_true(other.standby[0] && other.standby[1]);
    assert_int_equal(other.parameters_crc32c, own.parameters_crc32c);
    assert_int_equal(other.gradients, own.gradients);
}

static void a_damaged_log_is_made_up_for_by_its_standby(void **state)
{
    static struct mu_test_log test_log;
    struct mu_audit_replayed replayed;
    size_t bytes;
    simulate(&twice[0], 1);
    char *data = read_log("audit/ps-1.log", &bytes);
    data[bytes / 2] ^= 8;
    write_log("audit/ps-1.log", data, bytes);
    free(data);
    assert_ok(replay(&test_log, -1, &replayed));
    assert_true(replayed.standby[1] && !replayed.standby[0]);
    assert_int_equal(replayed.parameters_crc32c, sim_rig_crc_of_summary());
}

/* ---- damage ---- */

static void a_flipped_bit_is_found_wherever_it_is(void **state)
{
    static struct mu_test_log test_log;
    struct mu_audit_replayed replayed;
    size_t bytes;
    simulate(&modes[3], 1);
    char *data = read_log("audit/ps-1.log", &bytes);
    for (size_t i = 0; i < 60; i++) {
        /* Every byte of the first head, then all over the file. */
        size_t at = i < 20 ? i * 5 : i * (bytes / 60);
        data[at] ^= (char)(1 << i % 8);
        write_log("audit/ps-1.log", data, bytes);
        data[at] ^= (char)(1 << i % 8);
        if (replay(&test_log, -1, &replayed) != MU_BAD_DATA)
            fail_msg("byte %zu of %zu: %s", at, bytes, test_log.text);
        assert_said(&test_log, "ps-1.log: at byte ");
    }
    write_log("audit/ps-1.log", data, bytes);
    assert_ok(replay(&test_log, -1, &replayed));
    free(data);
}

static void a_cut_log_is_found_wherever_it_is_cut(void **state)
{
    static struct mu_test_log test_log;
    struct mu_audit_replayed replayed;
    size_t bytes;
    simulate(&modes[5], 1);
    char *data = read_log("audit/ps-0.log", &bytes);
    const size_t ends[] = {0, 1, 103, 104, 500, bytes / 3, bytes / 2, bytes - 109, bytes - 108,
        bytes - 107, bytes - 4, bytes - 1};
    for (size_t i = 0; i < MU_COUNT_OF(ends); i++) {
        write_log("audit/ps-0.log", data, ends[i]);
        assert_int_equal(replay(&test_log, -1, &replayed), MU_BAD_DATA);
        assert_said(&test_log, "ps-0.log: at byte ");
        assert_said(&test_log, "is cut");
    }
    /* What came before is still good for something. */
    assert_ok(replay(&test_log, 5, &replayed));
    free(data);
}

static void logs_of_two_runs_do_not_mix(void **state)
{
    static struct mu_test_log test_log;
    struct mu_audit_replayed replayed;
    size_t bytes;
    simulate(&modes[0], 1);
    char *data = read_log("audit/ps-1.log", &bytes);
    simulate(&modes[0], 2);
    write_log("audit/ps-1.log", data, bytes);
    assert_int_equal(replay(&test_log, -1, &replayed), MU_BAD_DATA);
    assert_said(&test_log, "is not the one of ps/0");
    simulate(&modes[1], 2);
    write_log("audit/ps-1.log", data, bytes);
    assert_int_equal(replay(&test_log, -1, &replayed), MU_BAD_DATA);
    assert_said(&test_log, "of another run");
    free(data);
}

static void a_log_that_is_not_there_is_named(void **state)
{
    static struct mu_test_log test_log;
    struct mu_audit_replayed replayed;
    char file_name[SIM_RIG_NAME_MAX];
    simulate(&modes[0], 1);
    sim_rig_file(file_name, "audit/ps-1.log");
    assert_int_equal(unlink(file_name), 0);
    assert_int_equal(replay(&test_log, -1, &replayed), MU_NO_INPUT);
    assert_said(&test_log, "ps-1.log");
}

static int begin(void **state)
{
    (void)state;
    sim_rig_begin(NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    sim_rig_end();
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replay_comes_to_the_parameters_of_the_run),
        cmocka_unit_test(a_replay_stops_at_any_version),
        cmocka_unit_test(a_resumed_run_is_in_the_entry_of_its_step),
        cmocka_unit_test(what_was_resumed_follows_from_the_logs_before),
        cmocka_unit_test(logs_that_make_other_parameters_lead_nowhere),
        cmocka_unit_test(a_replay_of_a_run_that_lost_a_server_has_all_of_it),
        cmocka_unit_test(the_logs_of_a_server_that_hung_and_was_lost_count_for_nothing),
        cmocka_unit_test(both_logs_of_a_part_are_of_the_same_bits),
        cmocka_unit_test(a_damaged_log_is_made_up_for_by_its_standby),
        cmocka_unit_test(a_flipped_bit_is_found_wherever_it_is),
        cmocka_unit_test(a_cut_log_is_found_wherever_it_is_cut),
        cmocka_unit_test(logs_of_two_runs_do_not_mix),
        cmocka_unit_test(a_log_that_is_not_there_is_named),
    };
    path = argv[argc - 1];
    return cmocka_run_group_tests(tests, begin, end);
}
