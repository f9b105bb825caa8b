/** os/linux/apparmor-profile and os/linux/selinux-context: refused where the host cannot enforce them. */
import { existsSync, readFileSync } from 'node:fs';

import { errnoOf } from '../errors.ts';
import type { Asked } from './asked.ts';
import type { ExecLabel } from './runtime.ts';

const APPARMOR = '/sys/kernel/security/apparmor';
const SELINUX = '/sys/fs/selinux';

function loadedProfiles(): readonly string[] {
  try {
    // A line is `NAME (MODE)`, and a name may have spaces.
    return readFileSync(`${APPARMOR}/profiles`, 'utf8')
      .split('\n')
      .map((line) => line.replace(/ \([a-z]+\)$/, ''));
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return [];
  }
}

/** The label that the isolators ask for. `loaded`: the profiles of the kernel, for tests. */
export function execLabelOf(
  asked: Asked,
  host: {
    readonly profiles: () => readonly string[];
    readonly has: (folder: string) => boolean;
  } = {
    profiles: loadedProfiles,
    has: existsSync,
  },
): ExecLabel | undefined {
  const apparmor = asked.value('os/linux/apparmor-profile');
  const selinux = asked.value('os/linux/selinux-context');
  if (apparmor !== undefined) {
    const name = 'os/linux/apparmor-profile';
    const { profile } = apparmor;
    if (!host.has(APPARMOR)) asked.refuse(name, 'this kernel runs without AppArmor');
    if (profile !== 'unconfined' && !host.profiles().includes(profile)) {
      asked.refuse(name, `the profile "${profile}" is not loaded`, [
        'load it with: apparmor_parser --add FILE',
        'see the loaded ones with: aa-status',
      ]);
    }
    return { module: 'apparmor', label: profile };
  }
  if (selinux === undefined) return undefined;
  const name = 'os/linux/selinux-context';
  if (!host.has(`${SELINUX}/enforce`)) asked.refuse(name, 'this kernel runs without SELinux');
  const parts = [selinux.user, selinux.role, selinux.type, selinux.level];
  if (parts.some((part, i) => (i < 3 && part === '') || /[\0-\x20\x7f]/.test(part)))
    asked.impossible(name, '', 'is not a context: user, role and type must be there');
  return { module: 'selinux', label: parts.filter((part) => part !== '').join(':') };
}
