/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mpi_transport.h"
#include "config.h"

#define DOC "Open MPI's messages, under mpirun"

#if HAVE_OPENMPI

#include "collectives/mpi_inside.h"
#include "collectives/swap.h"
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/*
 *   send:     [ note ] data      a note is the signature of the operation; it goes before the first
 *   receive:  [ note ] data      message of an operation to each rank, and is compared there
 *
 * Notes and data have a tag of MPI each. MPI keeps the order of messages of one tag between two
 * ranks, so that our own tags need not travel.
 */
enum { TAG_DATA = 1, TAG_NOTE = 2 };
#define LOOK_ROUNDS 64 /* of testing, between two looks at the clock and the loop */
#define SPIN_ROUNDS 2000

static_assert(sizeof(MPI_Request) <= sizeof(void *), "kept in the place of the driver of a write");
static_assert(sizeof(struct mu_signature) <= MU_SIGNATURE_NOTE_BYTES);

struct peer {
    struct mu_signature told, heard; /* of the last notes */
};

struct mpi {
    struct mu_transport base;
    struct mu_mpi_inside inside;
    struct mu_world *world;
    struct peer *peer;   /* (count) */
    struct mu_op *first; /* under way, newest first */
    bool ours;           /* we have called MPI_Init */
    bool failed;
};

static struct mpi *mpi_of(struct mu_transport *transport)
{
    return (struct mpi *)transport;
}

const struct mu_mpi_inside *mu_mpi_inside(struct mu_transport *transport)
{
    return transport->ops == &mu_mpi_ops ? &mpi_of(transport)->inside : NULL;
}

/* ---- one message ---- */

static MPI_Request *data_request(struct mu_op *op)
{
    return (MPI_Request *)&op->send.write.driver[0];
}

static MPI_Request *note_request(struct mu_op *op)
{
    return (MPI_Request *)&op->send.write.driver[1];
}

static void begin(struct mpi *mpi, struct mu_op *op, int rank, uint64_t tag, void *at, size_t bytes)
{
    assert(bytes > 0 && bytes <= MU_FRAME_PAYLOAD_MAX);
    op->done = false;
    op->status = MU_OK;
    op->rank = rank;
    op->tag = tag;
    op->at = at;
    op->bytes = bytes;
    *data_request(op) = *note_request(op) = mpi->inside.library->no_request;
    op->next = mpi->first;
    mpi->first = op;
}

static void finish(struct mpi *mpi, struct mu_op *op, enum mu_status status)
{
    mu_op_end(&mpi->first, op, status);
    mpi->failed |= status != MU_OK;
}

/* Must something about this operation be said to, or heard from, this rank? */
static bool is_new(const struct mpi *mpi, struct mu_signature *last)
{
    const struct mu_signature *now = mpi->base.signature;
    if (!now || mu_signature_equal(last, now))
        return false;
    *last = *now;
    return true;
}

static void mpi_send(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    const void *from, size_t bytes)
{
    struct mpi *mpi = mpi_of(transport);
    const struct mu_mpi_library *library = mpi->inside.library;
    int error = MPI_SUCCESS;
    begin(mpi, op, rank, tag, NULL, bytes);
    if (is_new(mpi, &mpi->peer[rank].told)) {
        memcpy(op->note, transport->signature, sizeof(*transport->signature));
        error = library->isend(op->note, sizeof(*transport->signature), library->byte, rank,
            TAG_NOTE, mpi->inside.comm, note_request(op));
    }
    if (error == MPI_SUCCESS)
        error = library->isend(
            from, (int)bytes, library->byte, rank, TAG_DATA, mpi->inside.comm, data_request(op));
    if (error != MPI_SUCCESS)
        finish(mpi, op, MU_CLOSED);
}

static void mpi_receive(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    void *to, size_t bytes)
{
    struct mpi *mpi = mpi_of(transport);
    const struct mu_mpi_library *library = mpi->inside.library;
    int error = MPI_SUCCESS;
    begin(mpi, op, rank, tag, to, bytes);
    if (is_new(mpi, &mpi->peer[rank].heard))
        error = library->irecv(op->note, sizeof(*transport->signature), library->byte, rank,
            TAG_NOTE, mpi->inside.comm, note_request(op));
    if (error == MPI_SUCCESS)
        error = library->irecv(
            to, (int)bytes, library->byte, rank, TAG_DATA, mpi->inside.comm, data_request(op));
    if (error != MPI_SUCCESS)
        finish(mpi, op, MU_CLOSED);
}

/* ---- moving on ---- */

static void drop(struct mpi *mpi, MPI_Request *request)
{
    const struct mu_mpi_library *library = mpi->inside.library;
    if (*request == library->no_request)
        return;
    library->cancel(request);
    library->request_free(request);
}

/* Has this part of an op finished? Then *request is none. */
static bool test(struct mpi *mpi, struct mu_op *op, MPI_Request *request, MPI_Status *ret_status)
{
    int flag = 0;
    if (*request == mpi->inside.library->no_request)
        return true;
    int error = mpi->inside.library->test(request, &flag, ret_status);
    if (error == MPI_SUCCESS)
        return flag;
    /* Longer than what is expected, or lost. */
    *request = mpi->inside.library->no_request;
    finish(mpi, op, error == MPI_ERR_TRUNCATE ? MU_PROTOCOL : MU_CLOSED);
    return false;
}

/* The note of a rank that does something else is kept for messages. */
static bool compare_note(struct mpi *mpi, struct mu_op *op)
{
    struct mu_seen *seen = &mpi->base.seen[op->rank];
    memcpy(&seen->signature, op->note, sizeof(seen->signature));
    seen->since_ns = mu_now(mpi->world);
    seen->inside = true;
    if (mu_signature_equal(&seen->signature, &mpi->peer[op->rank].heard))
        return true;
    drop(mpi, data_request(op));
    finish(mpi, op, MU_PROTOCOL);
    return false;
}

static void move(struct mpi *mpi, struct mu_op *op)
{
    MPI_Status status;
    int count = (int)op->bytes;
    bool noted = *note_request(op) != mpi->inside.library->no_request;
    if (!test(mpi, op, note_request(op), &status))
        return;
    if (noted && op->at && !compare_note(mpi, op))
        return;
    bool due = *data_request(op) != mpi->inside.library->no_request;
    if (!test(mpi, op, data_request(op), &status))
        return;
    if (due && op->at)
        mpi->inside.library->get_count(&status, mpi->inside.library->byte, &count);
    finish(mpi, op, count == (int)op->bytes ? MU_OK : MU_PROTOCOL);
}

static bool mpi_poll(struct mu_transport *transport)
{
    struct mpi *mpi = mpi_of(transport);
    for (struct mu_op *op = mpi->first, *next; op; op = next) {
        next = op->next;
        move(mpi, op);
    }
    return mpi->first != NULL;
}

enum mu_status mu_mpi_look_around(struct mu_transport *transport, int round, int64_t deadline_ns)
{
    struct mpi *mpi = mpi_of(transport);
    if (round > SPIN_ROUNDS)
        sched_yield();
    if (round % LOOK_ROUNDS != LOOK_ROUNDS - 1)
        return MU_OK;
    int64_t now = mu_now(mpi->world);
    if (transport->loop) {
        enum mu_status turned = transport->loop->ops->turn(transport->loop, now);
        (void)turned;
        MU_TRY(transport->loop->cancelled);
    }
    return now >= deadline_ns ? MU_TIMEOUT : MU_OK;
}

void mu_mpi_set_failed(struct mu_transport *transport)
{
    mpi_of(transport)->failed = true;
}

static enum mu_status mpi_wait(
    struct mu_transport *transport, struct mu_op *op, int64_t deadline_ns)
{
    enum mu_status status = MU_OK;
    for (int round = 0; !op->done && status == MU_OK; round++) {
        mpi_poll(transport);
        if (!op->done)
            status = mu_mpi_look_around(transport, round, deadline_ns);
    }
    if (status != MU_OK)
        mu_mpi_set_failed(transport);
    return op->done ? op->status : status;
}

/* ---- life ---- */

static void mpi_close(struct mu_transport *transport)
{
    struct mpi *mpi = mpi_of(transport);
    const struct mu_mpi_library *library = mpi->inside.library;
    bool clean = mpi->first == NULL && !mpi->failed;
    for (struct mu_op *op = mpi->first; op; op = op->next) {
        drop(mpi, note_request(op));
        drop(mpi, data_request(op));
    }
    if (clean && mpi->inside.comm)
        library->comm_free(&mpi->inside.comm);
    if (clean && mpi->ours)
        library->finalize();
    mu_swap_free_kept(transport);
    free(transport->seen);
    free(mpi->peer);
    free(mpi);
}

const struct mu_transport_ops mu_mpi_ops = {
    .name = "mpi",
    .doc = DOC,
    .send = mpi_send,
    .receive = mpi_receive,
    .wait = mpi_wait,
    .poll = mpi_poll,
    .close = mpi_close,
};

static enum mu_status join_mpi(struct mu_log *log, struct mpi *mpi)
{
    const struct mu_mpi_library *library = mpi->inside.library;
    int initialized = 0, finalized = 0;
    library->initialized(&initialized);
    library->finalized(&finalized);
    if (finalized)
        return mu_fail(log, MU_E0802, "open one group and keep it",
            "MPI has been finalized in this process and cannot begin again");
    if (!initialized && library->init(NULL, NULL) != MPI_SUCCESS)
        return mu_fail(log, MU_E0802, "start it as `mpirun -n 4 ...`", "MPI_Init fails");
    mpi->ours = !initialized;
    if (library->comm_dup(library->world, &mpi->inside.comm) != MPI_SUCCESS)
        return mu_fail(log, MU_E0802, NULL, "MPI_Comm_dup fails");
    library->comm_set_errhandler(mpi->inside.comm, library->errors_return);
    library->comm_rank(mpi->inside.comm, &mpi->base.rank);
    library->comm_size(mpi->inside.comm, &mpi->base.count);
    return MU_OK;
}

enum mu_status mu_mpi_open(struct mu_log *log, struct mu_world *world, struct mu_loop *loop,
    struct mu_transport **ret_transport)
{
    const struct mu_mpi_library *library;
    MU_TRY(mu_mpi_library_load(log, &library));
    struct mpi *mpi = calloc(1, sizeof(*mpi));
    if (!mpi)
        return mu_fail(log, MU_E0801, NULL, "no memory for a transport");
    *mpi = (struct mpi){
        .base = {.ops = &mu_mpi_ops, .loop = loop}, .inside.library = library, .world = world};
    enum mu_status status = join_mpi(log, mpi);
    if (status == MU_OK) {
        mpi->peer = calloc((size_t)mpi->base.count, sizeof(*mpi->peer));
        mpi->base.seen = calloc((size_t)mpi->base.count, sizeof(*mpi->base.seen));
        if (!mpi->peer || !mpi->base.seen)
            status = mu_fail(log, MU_E0801, NULL, "no memory for %d ranks", mpi->base.count);
    }
    if (status != MU_OK) {
        mpi->failed = true;
        mpi_close(&mpi->base);
        return status;
    }
    *ret_transport = &mpi->base;
    return MU_OK;
}

#else

const struct mu_transport_ops mu_mpi_ops = {.name = "mpi", .doc = DOC " (not in this build)"};

enum mu_status mu_mpi_open(struct mu_log *log, struct mu_world *world, struct mu_loop *loop,
    struct mu_transport **ret_transport)
{
    return mu_fail(log, MU_E0802, "build it with -Dmpi=enabled, or take another transport",
        "this build does not have the transport mpi: it was made without Open MPI");
}

#endif
