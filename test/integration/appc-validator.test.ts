/** The specification's own validator of executors, in pods of every kind, and its own tool over what jetpack writes. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { appendFileSync, copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { LABELS } from '../support/appc-images.ts';
import { testPool } from '../support/environment.ts';
import { JetpackHost, makeAci, PROJECT, until } from '../support/jetpack-host.ts';

const pool = testPool();
const CACHE = process.env['JETPACK_TEST_CACHE'] ?? '/var/cache/jetpack-test';
const PORT = 21_000 + (process.pid % 10_000);

/** Static programs, built once from the sources that Debian has; a guest without a compiler gets them from outside. */
function tool(name: 'ace-validator' | 'actool'): string {
  const file = path.join(CACHE, name);
  if (!existsSync(file))
    execFileSync('/bin/sh', [path.join(PROJECT, 'scripts', 'make-appc-tools.sh'), CACHE], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  return file;
}

describe.skipIf(pool === undefined)('the validator of the specification', () => {
  let host: JetpackHost;
  let service: ChildProcess;

  beforeAll(async () => {
    host = new JetpackHost(pool ?? '');
    appendFileSync(host.conf, `mds.port = ${String(PORT)}\n`);
    host.must('init');
    const image = (name: string, app: object) => {
      const manifest = {
        acKind: 'ImageManifest',
        acVersion: '0.8.11',
        name: `example.com/${name}`,
        labels: LABELS,
        app: { user: '0', group: '0', ...app },
        annotations: [{ name: 'created', value: '2016-01-02T03:04:05Z' }],
      };
      const aci = makeAci(host, manifest, (rootfs) => {
        mkdirSync(path.join(rootfs, 'opt/acvalidator'), { recursive: true });
        copyFileSync(tool('ace-validator'), path.join(rootfs, 'ace-validator'));
      });
      expect(actool('validate', aci)).toBe(0);
      host.must('import', '--insecure-options=image', aci);
    };
    const database = [{ name: 'database', path: '/db' }];
    const run = (mode: string) => ['/ace-validator', mode];
    image('main', {
      exec: run('main'),
      workingDirectory: '/opt/acvalidator',
      environment: [{ name: 'IN_ACE_VALIDATOR', value: 'correct' }],
      mountPoints: database,
      eventHandlers: [
        { name: 'pre-start', exec: run('prestart') },
        { name: 'post-stop', exec: run('poststop') },
      ],
    });
    image('sidekick', { exec: run('sidekick'), mountPoints: database });
    service = spawn(process.execPath, [path.join(PROJECT, 'dist', 'mds.cjs'), '--quiet'], {
      env: host.env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let told = '';
    service.stderr?.on('data', (chunk: Buffer) => (told += chunk.toString()));
    await until('the metadata service', () => told.includes('listening'));
  }, 120_000);
  afterAll(() => {
    service.kill('SIGTERM');
    host.remove();
  });

  function actool(...words: readonly string[]): number | null {
    return spawnSync(tool('actool'), words).status;
  }

  // The validator waits 100 ms for an answer, which a relay under User-Mode Linux does not always make.
  const nets = os.release().includes('uml') ? ['host'] : ['none', 'host'];
  const OK = ['main OK', 'poststop OK', 'prestart OK', 'sidekick OK'];

  it.each(nets)('finds nothing wrong in a pod with --net=%s', (net) => {
    const done = host.jetpack([
      ...['run', '--rm', `--net=${net}`, '--annotation=ip-address=10.1.2.3'],
      ...[
        'example.com/main',
        '--name=ace-validator-main',
        '--annotation=created=2017-01-02T03:04:05Z',
      ],
      ...['example.com/sidekick', '--name=ace-validator-sidekick'],
    ]);
    expect(done.stderr).not.toContain('==>');
    expect(done.stdout.trim().split('\n').sort()).toEqual(OK);
    expect(done.status).toBe(0);
  });

  it('finds nothing wrong in a pod from a manifest, which is valid for the specification’s own tool', () => {
    const app = (name: string) => ({
      name: `ace-validator-${name}`,
      image: { name: `example.com/${name}` },
      mounts: [{ volume: 'shared', path: '/db' }],
    });
    const manifest = {
      acKind: 'PodManifest',
      acVersion: '0.8.11',
      apps: [app('main'), app('sidekick')],
      volumes: [{ name: 'shared', kind: 'empty', mode: '0700' }],
    };
    const given = path.join(host.dir, 'pod.json');
    writeFileSync(given, JSON.stringify(manifest));
    const uuid = host.must('prepare', `--net=${nets[0] ?? ''}`, `--pod-manifest=${given}`);
    const reified = path.join(host.dir, 'reified.json');
    writeFileSync(reified, host.must('manifest', uuid));
    expect(actool('validate', reified)).toBe(0);
    // The tool does refuse what is wrong.
    writeFileSync(reified, host.must('manifest', uuid).replace('"sha512-', '"sha1-'));
    expect(actool('validate', reified)).not.toBe(0);
    const done = host.jetpack(['run', '--rm', uuid]);
    expect(done.stdout.trim().split('\n').sort()).toEqual(OK);
  });

  it('does find it when something is wrong', () => {
    const done = host.jetpack([
      ...['run', '--rm', 'example.com/main', '--name=ace-validator-main', '--working-dir=/'],
      ...['example.com/sidekick', '--name=ace-validator-sidekick'],
    ]);
    expect(done.status).toBe(1);
    expect(done.stderr).toContain('==> working directory not set appropriately');
  });
});
