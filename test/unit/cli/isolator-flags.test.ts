import { describe, expect, it } from 'vitest';

import { parseRunWords } from '../../../src/cli/run-grammar.ts';
import { buildRequest } from '../../../src/cli/run-request.ts';
import { composePod } from '../../../src/pod/compose.ts';
import { reify } from '../../../src/pod/reify.ts';

const id = `sha512-${'1'.repeat(128)}`;
const image = (isolators: unknown[] = []) =>
  ({
    id,
    manifest: {
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name: 'web',
      app: { exec: ['/bin/true'], user: '0', group: '0', isolators },
    },
  }) as never;

async function isolators(words: readonly string[], ofImage: unknown[] = []) {
  const request = await buildRequest(parseRunWords(words), () => image(ofImage));
  const { manifest } = reify(composePod(request));
  return { app: manifest.apps[0]?.app?.isolators, pod: manifest.isolators };
}

describe('the flags that are isolators', () => {
  it('become isolators of the app', async () => {
    const { app, pod } = await isolators([
      'web',
      '--memory=16Mi',
      '--cpu=500m',
      '--cpu-shares=512',
      '--caps-remove=net_raw,CAP_CHOWN',
      '--seccomp=mode=retain,errno=EPERM,read,@systemd/basic-io',
      '--oom-score-adj=-5',
      '--no-new-privileges=false',
      '--pids=7',
      '--disk-quota=1G',
      '--isolator=example/own={"a":1}',
    ]);
    expect(pod).toBeUndefined();
    expect(app).toMatchObject([
      { name: 'resource/memory', value: { limit: '16Mi' } },
      { name: 'resource/cpu', value: { limit: '500m' } },
      { name: 'os/linux/cpu-shares', value: 512 },
      { name: 'os/linux/capabilities-remove-set', value: { set: ['CAP_NET_RAW', 'CAP_CHOWN'] } },
      {
        name: 'os/linux/seccomp-retain-set',
        value: { set: ['read', '@systemd/basic-io'], errno: 'EPERM' },
      },
      { name: 'os/linux/oom-score-adj', value: -5 },
      { name: 'os/linux/no-new-privileges', value: false },
      { name: 'jetpack/pids-max', value: { limit: 7 } },
      { name: 'jetpack/disk-quota', value: { limit: '1G' } },
      { name: 'example/own', value: { a: 1 } },
    ]);
  });

  it('become isolators of the pod', async () => {
    const { pod } = await isolators([
      '--pod-memory=1G',
      '--pod-cpu=2',
      '--pod-pids=9',
      '--sysctl=kernel.shmmax=1',
      '--sysctl=net.core.somaxconn=2',
      '--pod-isolator=resource/network-bandwidth={"default":true,"limit":"1M"}',
      'web',
    ]);
    expect(pod).toMatchObject([
      { name: 'resource/memory', value: { limit: '1G' } },
      { name: 'resource/cpu', value: { limit: '2' } },
      { name: 'jetpack/pids-max', value: { limit: 9 } },
      { name: 'resource/network-bandwidth' },
      {
        name: 'os/unix/sysctl',
        value: { 'kernel.shmmax': '1', 'net.core.somaxconn': '2' },
      },
    ]);
  });

  it('replace the isolators of their kind in the image, and leave the others', async () => {
    const { app } = await isolators(
      ['web', '--memory=16Mi', '--caps-retain=KILL'],
      [
        { name: 'resource/memory', value: { limit: '1G' } },
        { name: 'os/linux/capabilities-remove-set', value: { set: ['CAP_KILL'] } },
        { name: 'resource/cpu', value: { limit: '1' } },
      ],
    );
    expect(app?.map(({ name }) => String(name))).toEqual([
      'resource/cpu',
      'resource/memory',
      'os/linux/capabilities-retain-set',
    ]);
  });

  it('before the first image are for every app, and an app may say another', async () => {
    const { app } = await isolators([
      '--memory=8Mi',
      '--caps-remove=KILL',
      'web',
      '--caps-retain=CHOWN',
    ]);
    expect(app).toMatchObject([
      { name: 'resource/memory', value: { limit: '8Mi' } },
      { name: 'os/linux/capabilities-retain-set' },
    ]);
  });

  it.each([
    [['web', '--memory=much'], '--memory: must be an amount'],
    [['web', '--memory=-1'], '--memory: must be an amount'],
    [['web', '--cpu-shares=1'], '--cpu-shares: must be at least 2'],
    [['web', '--oom-score-adj=1001'], '--oom-score-adj: must be at most 1000'],
    [['web', '--oom-score-adj=x'], '--oom-score-adj is a whole number'],
    [['web', '--pids=0'], '--pids: must be at least 1'],
    [['web', '--caps-retain=KILL', '--caps-remove=KILL'], 'exclude each other'],
    [['web', '--caps-retain='], '--caps-retain is a list'],
    [['web', '--seccomp=read'], 'mode is retain or remove'],
    [['web', '--seccomp=mode=retain'], 'names no system call'],
    [['web', '--seccomp=mode=retain,mode=remove,x'], 'mode stands twice'],
    [['web', '--seccomp=mode=remove,foo=1,x'], 'there is no key "foo"'],
    [['web', '--isolator=resource/memory'], '--isolator is NAME=JSON'],
    [['web', '--isolator=resource/memory={'], '--isolator is NAME=JSON'],
    [['web', '--memory=1G', '--isolator=resource/memory={"limit":"2G"}'], 'is there twice'],
    [['web', '--isolator=os/unix/sysctl={"a":"b"}'], 'is for pods'],
    [['--sysctl=x', 'web'], '--sysctl is KEY=VALUE'],
    [['--pod-isolator=os/linux/cpu-shares=5', 'web'], 'is for apps'],
  ])('are refused by name: %j', async (words, message) => {
    await expect(isolators(words)).rejects.toThrow(message);
  });
});
