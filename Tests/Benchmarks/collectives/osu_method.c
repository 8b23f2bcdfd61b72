// Measures all-reduce by the method that the OSU Micro-Benchmarks publish: a barrier before each call, the mean time of the
// calls on each rank, then the mean over the ranks. There are 1000 calls after 100 for warm-up up to 8 KiB, and 100 after 10
// beyond that.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank, ranks;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const size_t first = argc > 1 ? strtoul(argv[1], NULL, 10) : 4, last = argc > 2 ? strtoul(argv[2], NULL, 10) : 1 << 20;
    float *in = malloc(last), *out = malloc(last);
    if (!in || !out) MPI_Abort(MPI_COMM_WORLD, 1);
    for (size_t i = 0; i < last / sizeof *in; i++) in[i] = out[i] = 1;
    for (size_t size = first; size <= last; size *= 2) {
        const int calls = size <= 8192 ? 1000 : 100, warm_up = size <= 8192 ? 100 : 10;
        double time = 0, sum = 0;
        for (int i = 0; i < calls + warm_up; i++) {
            MPI_Barrier(MPI_COMM_WORLD);
            const double start = MPI_Wtime();
            MPI_Allreduce(in, out, (int)(size / sizeof *in), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
            if (i >= warm_up) time += MPI_Wtime() - start;
        }
        time = time / calls * 1e6;
        MPI_Reduce(&time, &sum, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
        if (rank == 0) printf("%zu %.3f\n", size, sum / ranks);
    }
    free(in), free(out);
    return MPI_Finalize();
}
