import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  CONFIG_KEYS,
  defaultSettings,
  loadConfig,
  mergeConfig,
  parseConfigFile,
  parseConfigOptions,
  renderConfigFile,
  rootDatasetOf,
} from '../../../src/host/config.ts';
import type { DatasetName } from '../../../src/zfs/zfs.ts';

const defaults = defaultSettings({ platform: 'linux', packageDir: '/opt/jetpack' });

describe('the configuration', () => {
  it('is complete without a file, but for the root dataset', () => {
    const { config } = mergeConfig(defaults);
    expect(config).toEqual({
      'root.mountpoint': '/var/lib/jetpack',
      'path.libexec': '/opt/jetpack/shim/build',
      'path.share': '/opt/jetpack/share',
      'logs.max-bytes': 10_485_760,
      'logs.keep': 3,
      'stop.grace-ms': 10_000,
      'mds.port': 1104,
      'mds.listen': ['127.0.0.1', '::1'],
      'mds.user': '_jetpack',
      'mds.warn': true,
    });
    expect(() => rootDatasetOf(config)).toThrow(
      expect.objectContaining({ code: 'NOT_INITIALISED' }),
    );
    const freebsd = mergeConfig(defaultSettings({ platform: 'freebsd', packageDir: '/x' })).config;
    expect(rootDatasetOf(freebsd)).toBe('zroot/jetpack');
  });

  it('takes the file over the defaults and -o over the file, and knows where each value is from', () => {
    const file = parseConfigFile(
      '# mine\nroot.zfs = tank/jp  # here\n\nlogs.keep=5\nstop.grace-ms = 1\n',
      '/etc/c',
    );
    const { config, origins } = mergeConfig(
      defaults,
      file,
      parseConfigOptions(['logs.keep=0', 'logs.keep = 7']),
    );
    expect(config).toMatchObject({ 'root.zfs': 'tank/jp', 'logs.keep': 7, 'stop.grace-ms': 1 });
    expect(origins).toMatchObject({
      'root.zfs': '/etc/c:2',
      'logs.keep': '-o',
      'path.share': 'built in',
    });
  });

  it('names an unknown key with its line and what may be meant', () => {
    expect(() => parseConfigFile('\nroot.zsf = a/b\n', '/etc/c')).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: '/etc/c:2: unknown key "root.zsf"',
        remedies: ['did you mean root.zfs?', 'see the keys with: jetpack config'],
      }),
    );
    expect(() => parseConfigOptions(['nothing.like.it=1'])).toThrow(/-o: unknown key/);
  });

  it.each([
    ['no value', 'root.zfs'],
    ['twice', 'logs.keep = 1\nlogs.keep = 2'],
  ])('refuses a line with %s', (_, text) => {
    expect(() => parseConfigFile(text, 'c')).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
  });

  it.each([
    ['root.zfs=tank', /below a pool/],
    ['root.zfs=tank/a@s', /below a pool/],
    ['root.zfs=', /below a pool/],
    ['root.mountpoint=relative', /absolute path/],
    ['root.mountpoint=/a/../b', /absolute path/],
    ['root.mountpoint=/a/', /absolute path/],
    ['root.mountpoint=/', /short enough|absolute/],
    ['logs.keep=-1', /whole number/],
    ['logs.max-bytes=1e6', /whole number/],
    ['logs.max-bytes=1', /at least 4096/],
  ])('refuses %s', (option, message) => {
    expect(() => mergeConfig(defaults, parseConfigOptions([option]))).toThrow(message);
  });

  it('refuses a mount point whose sockets would not fit into an address', () => {
    const mountpoint = (length: number) => `root.mountpoint=/${'x'.repeat(length - 1)}`;
    expect(mergeConfig(defaults, parseConfigOptions([mountpoint(53)]))).toBeDefined();
    expect(() => mergeConfig(defaults, parseConfigOptions([mountpoint(54)]))).toThrow(
      /short enough/,
    );
  });

  it('reads back what init writes', () => {
    const written = { 'root.zfs': 'tank/jp' as DatasetName, 'root.mountpoint': '/jp' };
    expect(
      mergeConfig(defaults, parseConfigFile(renderConfigFile(written), 'c')).config,
    ).toMatchObject(written);
  });

  it('must find a file that was named, and may miss the usual one', () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'jetpack-config-'));
    try {
      const file = path.join(dir, 'c');
      const sources = {
        file,
        overrides: ['logs.keep=1'],
        defaults: { platform: 'linux', packageDir: '/p' },
      } as const;
      expect(() => loadConfig(sources)).toThrow(/cannot read .*there is no such file/);
      writeFileSync(file, 'root.zfs = a/b\n');
      expect(loadConfig(sources)).toMatchObject({ 'root.zfs': 'a/b', 'logs.keep': 1 });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('either takes a line or refuses it with CONFIG_INVALID, whatever it says', () => {
    const line = fc
      .tuple(fc.oneof(fc.constantFrom(...CONFIG_KEYS), fc.string()), fc.string())
      .map(([k, v]) => `${k}=${v}`);
    fc.assert(
      fc.property(fc.oneof(line, fc.string()), (text) => {
        try {
          mergeConfig(defaults, parseConfigFile(text, 'c'));
        } catch (error) {
          expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
        }
      }),
    );
  });
});
