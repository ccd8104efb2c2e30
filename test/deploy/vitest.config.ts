// npm run test:deploy: the files in .github/deploy, as they stand, in the programs that they are for.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/deploy/*.check.ts'],
    globalSetup: 'test/deploy/certificates.ts',
    // In turn: one measures.
    maxWorkers: 1,
    testTimeout: 60_000,
    reporters: 'verbose',
    disableConsoleIntercept: true,
  },
});
