// fast-check as every test gets it (vitest.config.ts): what its properties draw begins at TEST_SEED, so that a commit
// that passed on one machine passes on another. A failing property prints its seed; `TEST_SEED=N` draws the same again.
import fc from 'fast-check';

fc.configureGlobal({ seed: Number(process.env.TEST_SEED) });

export default fc;
