import { existsSync } from 'node:fs';
import process from 'node:process';

import { defineConfig } from 'vitest/config';

import { findCgroup2 } from './src/runtime/cgroup2.ts';

/**
 * Tests of what a host cannot have without its kernel: not skipped one by one, but no tests of such a host. Where the
 * controllers must be there (scripts/test-in-vm.sh), JETPACK_MUST_LIMIT=1 says so, and without them the tests fail.
 */
function notOfThisHost(): readonly string[] {
  const controllers = findCgroup2()?.controllers ?? [];
  const limits = ['cpu', 'memory', 'pids'].every((name) => controllers.includes(name));
  const appArmor = existsSync('/sys/kernel/security/apparmor');
  return [
    ...(limits || process.env['JETPACK_MUST_LIMIT'] === '1'
      ? []
      : ['test/integration/limits.test.ts']),
    ...(appArmor ? [] : ['test/integration/apparmor.test.ts']),
    // The virtual machine has none of the programs of packages/test.txt that other people's images are made with.
    ...(process.env['JETPACK_WITHOUT_PEERS'] === '1' ? ['test/integration/peer-*.test.ts'] : []),
  ];
}

/** One project per kind of test; what each may touch: docs/setup.md. */
export default defineConfig({
  test: {
    reporters: ['default'],
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      { test: { name: 'operation', include: ['test/operation/**/*.test.ts'] } },
      {
        test: {
          name: 'cli',
          include: ['test/cli/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          exclude: [...notOfThisHost()],
          // One pool, one host: the files run one after the other in one process.
          pool: 'forks',
          maxWorkers: 1,
          isolate: false,
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
