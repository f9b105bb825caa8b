/** Linux capabilities: names to bits (capabilities(7), include/uapi/linux/capability.h), and the sets of appc. */
import { PodError } from '../errors.ts';

const NAMES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'DAC_READ_SEARCH',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'LINUX_IMMUTABLE',
  'NET_BIND_SERVICE',
  'NET_BROADCAST',
  'NET_ADMIN',
  'NET_RAW',
  'IPC_LOCK',
  'IPC_OWNER',
  'SYS_MODULE',
  'SYS_RAWIO',
  'SYS_CHROOT',
  'SYS_PTRACE',
  'SYS_PACCT',
  'SYS_ADMIN',
  'SYS_BOOT',
  'SYS_NICE',
  'SYS_RESOURCE',
  'SYS_TIME',
  'SYS_TTY_CONFIG',
  'MKNOD',
  'LEASE',
  'AUDIT_WRITE',
  'AUDIT_CONTROL',
  'SETFCAP',
  'MAC_OVERRIDE',
  'MAC_ADMIN',
  'SYSLOG',
  'WAKE_ALARM',
  'BLOCK_SUSPEND',
  'AUDIT_READ',
  'PERFMON',
  'BPF',
  'CHECKPOINT_RESTORE',
] as const;

/** What an app keeps unless its manifest says otherwise (spec/ace.md). */
const DEFAULT_SET = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FSETID',
  'FOWNER',
  'KILL',
  'MKNOD',
  'NET_RAW',
  'NET_BIND_SERVICE',
  'SETUID',
  'SETGID',
  'SETPCAP',
  'SETFCAP',
  'SYS_CHROOT',
] as const;

export const ALL_CAPABILITIES: bigint = (1n << BigInt(NAMES.length)) - 1n;

/** `net_raw`, `CAP_NET_RAW`, `Net_Raw` → `CAP_NET_RAW`. */
function capabilityName(text: string): string {
  const upper = text.toUpperCase();
  return upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
}

/** Undefined for a name that Linux does not have. */
export function capabilityBit(name: string): bigint | undefined {
  const index = NAMES.findIndex((known) => `CAP_${known}` === capabilityName(name));
  return index === -1 ? undefined : 1n << BigInt(index);
}

function bitsOf(app: string, names: readonly string[]): bigint {
  let bits = 0n;
  for (const name of names) {
    const bit = capabilityBit(name);
    if (bit === undefined) {
      throw new PodError('POD_INVALID', `app ${app}: there is no capability "${name}"`, {
        remedies: ['the names are those of capabilities(7)'],
      });
    }
    bits |= bit;
  }
  return bits;
}

export interface CapabilitySets {
  readonly caps: bigint;
  /** For users other than 0: what was asked for by name, else nothing. A default must not make every user a little root. */
  readonly capsOthers: bigint;
}

export const DEFAULT_CAPABILITIES: bigint = bitsOf('', DEFAULT_SET);

/** At most one of `retain` and `remove`, as their manifest names them. Throws POD_INVALID for a name that does not exist. */
export function capabilitySets(
  app: string,
  {
    retain,
    remove,
  }: {
    readonly retain?: readonly string[] | undefined;
    readonly remove?: readonly string[] | undefined;
  },
): CapabilitySets {
  if (retain !== undefined) {
    const bits = bitsOf(app, retain);
    return { caps: bits, capsOthers: bits };
  }
  return {
    caps: remove === undefined ? DEFAULT_CAPABILITIES : DEFAULT_CAPABILITIES & ~bitsOf(app, remove),
    capsOthers: 0n,
  };
}
