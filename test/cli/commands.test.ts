/** The built program as a child: help, usage, exit statuses, stdout and stderr. Nothing here needs a pool. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { commandTable } from '../../src/cli/command-table.ts';

const MAIN = path.resolve(import.meta.dirname, '../../dist/main.cjs');

let dir: string;
let conf: string;

beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'jp-'));
  conf = path.join(dir, 'jetpack.conf');
  writeFileSync(conf, `root.zfs = nosuchpool/jetpack\nroot.mountpoint = ${dir}/none\n`);
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

function jetpack(...words: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...words], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '', JETPACK_CONF: conf },
    input: '',
  });
  return { status, stdout, stderr };
}

const words = (id: string) => id.split(':');
const names = commandTable.map(({ id }) => id);

describe('every command', () => {
  it.each(names)('%s has a summary, a usage and examples in its help', (id) => {
    const { status, stdout } = jetpack(...words(id), '--help');
    expect(status).toBe(0);
    expect(stdout).toContain('USAGE');
    expect(stdout).toContain('EXAMPLES');
    expect(stdout.split('\n')[0]?.length).toBeGreaterThan(10);
    expect(jetpack('help', ...words(id)).stdout).toBe(stdout);
  });

  it.each(names)('%s refuses a flag that it does not have', (id) => {
    const { status, stdout, stderr } = jetpack(...words(id), '--no-such-flag');
    expect(status).toBe(['run', 'enter', 'exec', 'attach'].includes(id) ? 125 : 2);
    expect(stdout).toBe('');
    expect(stderr).toContain('no-such-flag');
    expect(stderr).not.toContain('    at ');
  });

  it.each(commandTable.flatMap(({ id, aliases }) => aliases.map((alias) => [alias, id] as const)))(
    'the alias %s means %s',
    (alias, id) => {
      expect(jetpack(...words(alias), '--help').stdout).toBe(
        jetpack(...words(id), '--help').stdout,
      );
    },
  );
});

describe('the program', () => {
  it('tells its version', () => {
    expect(jetpack('--version')).toEqual({
      status: 0,
      stdout: expect.stringMatching(/^jetpack \d+\.\d+\.\d+\n$/),
      stderr: '',
    });
  });

  it('shows in an error nothing that a terminal would obey', () => {
    const { stderr } = jetpack('list', '--config', `${dir}/\u001b[31mred\u009b0m\u0007\u007f`);
    expect(stderr).toContain('/\\x1b[31mred\\x9b0m\\x07\\x7f');
    expect(stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  });

  it('lists its commands when there is no word, and for --help', () => {
    const { status, stdout } = jetpack();
    expect(status).toBe(0);
    for (const name of names.filter((id) => !id.includes(':'))) expect(stdout).toContain(name);
    expect(jetpack('--help').stdout).toBe(stdout);
  });

  it('suggests the command that was meant', () => {
    expect(jetpack('lst')).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringContaining('try: jetpack list'),
    });
    expect(jetpack('image', 'shw')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('jetpack image show'),
    });
  });

  it('takes global flags before the command too', () => {
    expect(jetpack('-o', 'logs.keep=7', 'config', 'logs.keep').stdout).toBe('7\n');
    expect(jetpack('config', 'logs.keep', '-o', 'logs.keep=8').stdout).toBe('8\n');
  });

  it('says what to do on a host that was not set up', () => {
    const { status, stderr } = jetpack('list');
    expect(status).toBe(1);
    expect(stderr).toContain('try: jetpack init');
  });

  it('prints errors as JSON with --json', () => {
    const { status, stdout, stderr } = jetpack('list', '--json');
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(JSON.parse(stderr)).toEqual({
      error: {
        code: 'NOT_INITIALISED',
        message: expect.any(String) as string,
        remedies: expect.arrayContaining(['jetpack init']) as string[],
      },
    });
  });

  it('shows no stack trace unless asked', () => {
    expect(jetpack('list').stderr).not.toContain('    at ');
    expect(jetpack('list', '--debug').stderr).toContain('    at ');
  });

  it('refuses a configuration with a key that nobody knows', () => {
    expect(jetpack('list', '-o', 'root.zf=x')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('root.zfs'),
    });
  });
});

describe('config', () => {
  it('prints the merged values with their origin, one value, or JSON', () => {
    expect(jetpack('config').stdout).toContain(`root.zfs = nosuchpool/jetpack  # ${conf}:1`);
    expect(jetpack('config', 'root.zfs').stdout).toBe('nosuchpool/jetpack\n');
    expect(JSON.parse(jetpack('config', '--json').stdout)).toMatchObject({
      'root.zfs': 'nosuchpool/jetpack',
      'logs.keep': 3,
    });
    expect(jetpack('config', 'root.zf')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('jetpack config root.zfs'),
    });
  });
});

describe('jetpack-mds', () => {
  function mds(...args: readonly string[]) {
    const file = path.resolve(MAIN, '../mds.cjs');
    const { status, stdout, stderr } = spawnSync(process.execPath, [file, ...args], {
      encoding: 'utf8',
      env: { JETPACK_CONF: conf },
    });
    return { status, stdout, stderr };
  }

  it('tells its version and its usage', () => {
    const { stdout } = mds('--version');
    expect(stdout).toMatch(/^jetpack-mds \d+\.\d+\.\d+\n$/);
    expect(mds('--help')).toEqual({
      status: 0,
      stdout: expect.stringContaining('usage: jetpack-mds [--config FILE]'),
      stderr: '',
    });
  });

  it('refuses words that it does not know, and values that are wrong', () => {
    expect(mds('--no-such-flag')).toEqual({
      status: 2,
      stdout: '',
      stderr: 'jetpack-mds: there is no flag --no-such-flag\n  try: jetpack-mds --help\n',
    });
    expect(mds('-o').stderr).toContain('-o needs a value');
    expect(mds('-o', 'mds.listen=127.0.0.1,::').stderr).toContain(
      ':: would answer on every network',
    );
    expect(mds('-o', 'mds.listen=::1').stderr).toContain('127.0.0.1 must be among them');
  });

  it('says what is missing on a host where nothing is set up', () => {
    const { status, stderr } = mds();
    expect(status).toBe(1);
    expect(stderr).toMatch(/^jetpack-mds: .*\n {2}try: jetpack init\n/);
  });
});
