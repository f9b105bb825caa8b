import { describe, expect, it } from 'vitest';

import { rightsOfImage } from '../../../src/pod/image-rights.ts';
import type { App } from '../../../src/schema/appc.ts';

const app = (...isolators: readonly (readonly [string, unknown])[]) =>
  ({
    user: '0',
    group: '0',
    isolators: isolators.map(([name, value]) => ({ name, value })),
  }) as unknown as App;
const retain = (...set: readonly string[]) =>
  ['os/linux/capabilities-retain-set', { set }] as const;

describe('rights that an image takes', () => {
  it('are those beyond the default', () => {
    const image = app(
      retain('CAP_KILL', 'sys_admin', 'CAP_SYS_PTRACE', 'CAP_NOT'),
      ['os/linux/no-new-privileges', false],
      ['os/linux/seccomp-remove-set', { set: ['@appc.io/empty'] }],
      ['resource/memory', { limit: '1G' }],
    );
    expect(rightsOfImage(image, image)).toEqual([
      'sys_admin',
      'CAP_SYS_PTRACE',
      'new privileges by setuid programs',
      'a system call filter of its own',
    ]);
  });

  it('are none where it takes fewer, or where somebody else says what they are', () => {
    const image = app(retain('CAP_SYS_ADMIN'));
    expect(rightsOfImage(app(retain('CAP_KILL')), app(retain('CAP_KILL')))).toEqual([]);
    expect(rightsOfImage(image, app(retain('CAP_SYS_PTRACE')))).toEqual([]);
    expect(rightsOfImage(undefined, image)).toEqual([]);
  });

  it('are found whatever the values are', () => {
    for (const value of [null, undefined, 1, 'x', [], {}, { set: 1 }, { set: [1, null] }]) {
      const odd = app(['os/linux/capabilities-retain-set', value]);
      expect(rightsOfImage(odd, odd)).toEqual([]);
    }
  });
});
