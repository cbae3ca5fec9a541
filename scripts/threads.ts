// The entries of threads below src/: each is a file of its own in the package as well, for nothing imports it.
export const THREADS: readonly string[] = [
  'worker/entry',
  'config/load-entry',
  'discovery/file/yaml-entry',
];
