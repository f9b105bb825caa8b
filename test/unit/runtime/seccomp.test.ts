import { readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { childExec } from '../../../src/exec/child.ts';
import { Asked } from '../../../src/runtime/asked.ts';
import {
  compileFilter,
  type FilterList,
  parseDefaultList,
  removeList,
  retainList,
  type SeccompIsolator,
} from '../../../src/runtime/seccomp.ts';
import { SYSTEMD_GROUPS, systemdGroup } from '../../../src/runtime/syscall-groups.ts';

const project = path.resolve(import.meta.dirname, '../../..');
const defaults = parseDefaultList(
  readFileSync(path.join(project, 'shim/seccomp/default.list'), 'utf8'),
);

/** What the list says of a call, its conditions left away. */
function said(list: FilterList | undefined, name: string): readonly string[] {
  return (list?.lines ?? [])
    .map((line) => line.split(' '))
    .filter((words) => words[0] !== 'default' && words.includes(name))
    .map((words) => (words[0] === 'errno' ? `${words[0]} ${words[1] ?? ''}` : (words[0] ?? '')));
}

describe('a set of calls to retain', () => {
  it('allows its calls and kills on all others', () => {
    const list = retainList(['read', 'write'], undefined, defaults);
    expect(list?.lines[0]).toBe('default kill');
    expect(said(list, 'read')).toEqual(['allow']);
    expect(said(list, 'mount')).toEqual([]);
  });

  it('answers all others with its errno, when it has one', () => {
    expect(retainList(['read'], 'EPERM', defaults)?.lines[0]).toBe('default errno EPERM');
  });

  it('lets an app start, end, and return from a signal handler', () => {
    const list = retainList(['read'], undefined, defaults);
    for (const name of ['execve', 'exit_group', 'rt_sigreturn'])
      expect(said(list, name)).toEqual(['allow']);
    expect(said(list, 'execveat')).toEqual([]);
  });

  it('is no filter with @appc.io/all', () => {
    expect(retainList(['read', '@appc.io/all'], undefined, defaults)).toBeUndefined();
  });

  it('takes the default list for the words of other executors, too', () => {
    const wanted = retainList(['@jetpack/default-retain'], undefined, defaults)?.lines;
    expect(wanted?.length).toBeGreaterThan(50);
    for (const word of ['@rkt/default-whitelist', '@docker/default-whitelist'])
      expect(retainList([word], undefined, defaults)?.lines).toEqual(wanted);
  });

  it('keeps what run-times rely on: ENOSYS for clone3, EPERM for clone with new namespaces', () => {
    const list = retainList(['@jetpack/default-retain'], undefined, defaults);
    expect(said(list, 'clone3')).toEqual(['errno ENOSYS']);
    expect(said(list, 'clone')).toContain('allow');
    expect(said(list, 'clone')).toContain('errno EPERM');
    expect(said(list, 'mount')).toEqual([]);
  });

  it('lets a call that is named by itself have no conditions', () => {
    const list = retainList(['clone', '@jetpack/default-retain'], undefined, defaults);
    expect(said(list, 'clone')).toEqual(['allow']);
    expect(list?.lines).toContain('allow clone');
  });

  it('refuses groups that are meant to be removed', () => {
    for (const group of ['@appc.io/empty', '@jetpack/default-remove', '@docker/default-blacklist'])
      expect(() => retainList(['read', group], undefined, defaults)).toThrow(group);
  });
});

describe('a set of calls to remove', () => {
  it('kills on its calls and allows all others', () => {
    const list = removeList(['mount', 'reboot'], undefined, defaults);
    expect(list?.lines[0]).toBe('default allow');
    expect(said(list, 'mount')).toEqual(['kill']);
  });

  it('answers its calls with its errno', () => {
    expect(said(removeList(['mount'], 'EACCES', defaults), 'mount')).toEqual(['errno EACCES']);
  });

  it('is no filter when it removes nothing', () => {
    expect(removeList(['@appc.io/empty'], undefined, defaults)).toBeUndefined();
    expect(removeList(['@appc.io/empty', 'mount'], undefined, defaults)).toBeDefined();
  });

  it('cannot take away what starts the app, nor can a group', () => {
    expect(() => removeList(['execve'], undefined, defaults)).toThrow('could not be started');
    expect(said(removeList(['@systemd/default'], undefined, defaults), 'execve')).toEqual([
      'allow',
    ]);
  });

  it('forbids with the default group what the default filter forbids', () => {
    const list = removeList(['@jetpack/default-remove'], undefined, defaults);
    expect(said(list, 'mount')).toEqual(['kill']);
    expect(said(list, 'clone3')).toEqual(['errno ENOSYS']);
    expect(said(list, 'clone')).not.toContain('allow');
    expect(said(list, 'read')).toEqual([]);
  });

  it('refuses groups that are meant to be retained', () => {
    for (const group of ['@appc.io/all', '@rkt/default-whitelist'])
      expect(() => removeList([group], undefined, defaults)).toThrow(group);
  });
});

describe('groups of system calls', () => {
  it('have every member once, and groups in groups are taken apart', () => {
    for (const name of Object.keys(SYSTEMD_GROUPS)) {
      const members = systemdGroup(name) ?? [];
      expect(new Set(members).size).toBe(members.length);
      expect(members.filter((member) => member.startsWith('@'))).toEqual([]);
    }
    expect(systemdGroup('privileged')).toContain('init_module');
    expect(systemdGroup('nonsense')).toBeUndefined();
  });

  it('list no name that no system call has', () => {
    const members = [...new Set(Object.keys(SYSTEMD_GROUPS).flatMap((n) => systemdGroup(n) ?? []))];
    const done = childExec.runSync(
      [path.join(project, 'shim/build/jetpack-seccomp'), 'compile', '-', '-'],
      { input: `default kill\nallow ${members.join(' ')}\n` },
    );
    expect(done.status).toBe(0);
    const unknown = [...done.stderr.matchAll(/skipped: (\S+)/g)].map(([, name]) => name ?? '');
    // Calls that are younger than the oldest libseccomp that this is built with.
    const young = new Set(
      'cachestat fchmodat2 futex_requeue futex_wait futex_wake getxattrat listxattrat mseal removexattrat setxattrat'.split(
        ' ',
      ),
    );
    expect(unknown.filter((name) => !young.has(name))).toEqual([]);
  });

  it('of the default list have a word about every call of this machine', () => {
    const names = new Set(defaults.flatMap((rule) => rule.names));
    for (const name of ['read', 'mount', 'vserver', 'io_uring_setup', 'clone3', 'mknodat'])
      expect(names).toContain(name);
  });
});

describe('a filter of an app', () => {
  const tools = { exec: childExec, libexec: path.join(project, 'shim/build') };
  const compile = (isolator: SeccompIsolator, value: unknown) =>
    compileFilter(
      new Asked('app web', 'apps[2].app.isolators', [
        { name: 'resource/cpu', value: { limit: '1' } },
        { name: isolator, value },
      ] as never),
      isolator,
      tools,
    );

  it('is a program of the kernel, of whole instructions', () => {
    const program = compile('os/linux/seccomp-retain-set', { set: ['read', 'write'] });
    expect(program?.length).toBeGreaterThan(64);
    expect((program?.length ?? 1) % 8).toBe(0);
  });

  it('is refused with the place of a name that no system call has', () => {
    expect(() =>
      compile('os/linux/seccomp-retain-set', { set: ['@systemd/basic-io', 'read', 'opne'] }),
    ).toThrow(
      'the pod manifest is not valid at apps[2].app.isolators[1].value.set[2]: there is no system call "opne"',
    );
    expect(() => compile('os/linux/seccomp-remove-set', { set: ['mount', 'read()'] })).toThrow(
      'apps[2].app.isolators[1].value.set[1]',
    );
  });

  it('is refused with the place of an error that does not exist', () => {
    for (const isolator of ['os/linux/seccomp-retain-set', 'os/linux/seccomp-remove-set'] as const)
      expect(() => compile(isolator, { set: ['read'], errno: 'EFOO' })).toThrow(
        'apps[2].app.isolators[1].value.errno: there is no error "EFOO"',
      );
  });

  it('takes every name of errno(3)', () => {
    for (const errno of ['EPERM', 'EWOULDBLOCK', 'EHWPOISON', 'EKEYREVOKED', 'E2BIG'])
      expect(compile('os/linux/seccomp-remove-set', { set: ['mount'], errno })).toBeDefined();
  });

  it('is refused with the nearest name for a group that is not there', () => {
    expect(() => compile('os/linux/seccomp-retain-set', { set: ['@systemd/clocks'] })).toThrow(
      'is it "@systemd/clock"?',
    );
  });

  it('takes a name that only another architecture has', () => {
    expect(
      compile('os/linux/seccomp-retain-set', { set: ['_llseek', 'arm_fadvise64_64'] }),
    ).toBeDefined();
  });
});
