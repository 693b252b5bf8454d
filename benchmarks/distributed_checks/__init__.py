"""What the processes of ``benchmarks.distributed`` and of the tests of ``huracan.distributed`` run."""
