import { copyFileSync, mkdirSync, mkdtempSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { debianAci } from '../support/debian-rootfs.ts';
import { testPool } from '../support/environment.ts';
import { JetpackHost } from '../support/jetpack-host.ts';

const pool = testPool();

/** The same image, but with no-new-privileges off: what setuid programs need. */
function withNewPrivileges(host: JetpackHost, aci: string): string {
  const dir = mkdtempSync(path.join(host.dir, 'np-'));
  const file = path.join(dir, 'debian.tar');
  const manifest = {
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name: 'debian-setuid',
    app: {
      exec: ['/bin/bash'],
      user: '0',
      group: '0',
      isolators: [{ name: 'os/linux/no-new-privileges', value: false }],
    },
  };
  mkdirSync(path.join(dir, 'm'));
  execFileSync('/bin/sh', [
    '-c',
    'gzip -dc "$1" > "$2" && tar --delete -f "$2" manifest && printf %s "$3" > "$4/manifest" && tar -C "$4" -rf "$2" manifest',
    'sh',
    aci,
    file,
    JSON.stringify(manifest),
    path.join(dir, 'm'),
  ]);
  copyFileSync(file, `${file}.aci`);
  return `${file}.aci`;
}

describe.skipIf(pool === undefined)('a pod of a real Debian system', () => {
  let host: JetpackHost;

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    const aci = debianAci();
    host.must('import', '--insecure-options=image', aci);
    host.must('import', '--insecure-options=image', withNewPrivileges(host, aci));
  });
  afterAll(() => {
    host.remove();
  });

  const bash = (image: string, script: string, ...flags: readonly string[]) =>
    host.jetpack(['run', '--rm', ...flags, image, '--exec=/bin/bash', '--', '-ec', script]);

  it('is whole in the eyes of its own tools', () => {
    const done = bash(
      'debian',
      'dpkg --audit; apt-get check >/dev/null; dpkg-query -W | wc -l; ldconfig -p | head -1',
    );
    expect(done.stderr).toBe('');
    expect(done.status).toBe(0);
    expect(Number(done.stdout.split('\n')[0])).toBeGreaterThan(80);
  });

  it('lets dpkg build and install packages, and their scripts run', () => {
    const done = bash(
      'debian',
      `cd /tmp; mkdir -p p/DEBIAN p/usr/bin
       printf 'Package: hello-jetpack\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b.c>\\nDescription: x\\n' > p/DEBIAN/control
       printf '#!/bin/sh\\nuseradd --system hello\\nchown hello /usr/bin/hello-jetpack\\n' > p/DEBIAN/postinst; chmod 755 p/DEBIAN/postinst
       printf '#!/bin/sh\\necho it works\\n' > p/usr/bin/hello-jetpack; chmod 755 p/usr/bin/hello-jetpack
       dpkg-deb -b p >/dev/null; apt-get install -y ./p.deb >/dev/null 2>&1 || dpkg -i p.deb >/dev/null
       hello-jetpack; stat -c %U /usr/bin/hello-jetpack`,
    );
    expect(done).toMatchObject({ status: 0, stdout: 'it works\nhello\n' });
  });

  it('has users that can be added and become', () => {
    const done = bash(
      'debian',
      'useradd -m -s /bin/bash ann; su ann -c "id -un; touch ~/mine; stat -c %U ~/mine"',
    );
    expect(done).toMatchObject({ status: 0, stdout: 'ann\nann\n' });
  });

  it('gains nothing by setuid programs, unless the manifest allows new privileges', () => {
    const script =
      'cp /usr/bin/id /tmp/suid; chown root /tmp/suid; chmod 4755 /tmp/suid; useradd ann; setpriv --reuid ann --clear-groups /tmp/suid -u';
    const uid = (done: { stdout: string }) => done.stdout.trim();
    expect(uid(bash('debian', script))).not.toBe('0');
    expect(uid(bash('debian-setuid', script))).toBe('0');
  });

  it('runs perl and makes, renames and locks files as on any system', () => {
    const done = bash(
      'debian',
      'perl -e \'use Fcntl ":flock"; open(my $f, ">", "/tmp/l") or die; flock($f, LOCK_EX|LOCK_NB) or die; print "locked\\n"\'; mkfifo /tmp/f; ln /tmp/l /tmp/l2; stat -c %h /tmp/l',
    );
    expect(done).toMatchObject({ status: 0, stdout: 'locked\n2\n' });
  });
});
