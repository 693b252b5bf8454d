"""What the benchmarks of autoencoder and GAN judge with: planted anomalies, rival simulators, judges."""
