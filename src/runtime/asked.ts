/** Isolators that were asked for, each with its place in the pod manifest; and the words of what becomes of them. */
import { ManifestError, PodError } from '../errors.ts';
import {
  findIsolator,
  isIsolatorName,
  isRecord,
  type Isolator,
  type IsolatorName,
  type IsolatorValue,
} from '../schema/appc.ts';
import type { Adjustment, IsolatorReport } from './runtime.ts';

const QUANTITIES = ['default', 'request', 'limit'] as const;
const SET = ['set'] as const;

/** The fields of values that are objects; an isolator without an entry has no fields, or any. */
const FIELDS: Readonly<Partial<Record<IsolatorName, readonly string[]>>> = {
  'resource/cpu': QUANTITIES,
  'resource/memory': QUANTITIES,
  'resource/block-bandwidth': QUANTITIES,
  'resource/block-iops': QUANTITIES,
  'resource/network-bandwidth': QUANTITIES,
  'os/linux/capabilities-retain-set': SET,
  'os/linux/capabilities-remove-set': SET,
  'os/linux/seccomp-retain-set': [...SET, 'errno'],
  'os/linux/seccomp-remove-set': [...SET, 'errno'],
  'os/linux/selinux-context': ['user', 'role', 'type', 'level'],
  'os/linux/apparmor-profile': ['profile'],
  'jetpack/disk-quota': ['limit'],
  'jetpack/pids-max': ['limit'],
};

/** `resource/cpu burst`: a field that nobody knows changes nothing, and is told. */
function strayFields(name: IsolatorName, value: unknown): readonly string[] {
  const known = FIELDS[name];
  if (known === undefined || !isRecord(value)) return [];
  return Object.keys(value)
    .filter((field) => !known.includes(field))
    .map((field) => `${name} ${field}`);
}

/** The isolators of one app or of the pod, while they are looked at. */
export class Asked {
  /** `app web`, `the pod`. */
  readonly who: string;
  readonly #list: readonly Isolator[];
  /** `apps[1].app.isolators`. */
  readonly #at: string;
  readonly #adjusted: Adjustment[] = [];
  readonly #off = new Set<string>();

  constructor(who: string, at: string, list: readonly Isolator[]) {
    this.who = who;
    this.#at = at;
    this.#list = list;
  }

  /** The value, parsed. The list was checked when it came in. */
  value<N extends IsolatorName>(name: N): IsolatorValue<N> | undefined {
    return findIsolator(this.#list, name);
  }

  /** A field of the value as it was written. */
  raw(name: IsolatorName, field: string): string {
    const isolator = this.#list.find((candidate): boolean => String(candidate.name) === name);
    const value: unknown = isolator?.value;
    return isRecord(value) ? String(value[field]) : '';
  }

  has(name: IsolatorName): boolean {
    return this.#list.some((isolator): boolean => String(isolator.name) === name);
  }

  names(): readonly string[] {
    return this.#list.map(({ name }) => String(name));
  }

  /** Where a field of the isolator's value stands: `apps[1].app.isolators[0].value.limit`. */
  place(name: IsolatorName, field: string): string {
    const index = this.#list.findIndex((isolator): boolean => String(isolator.name) === name);
    return `${this.#at}[${String(index)}].value${field}`;
  }

  /** The value can be enforced nowhere. */
  impossible(name: IsolatorName, field: string, message: string): never {
    throw new ManifestError('the pod manifest', [{ path: this.place(name, field), message }], {
      remedies: [`correct ${name} in the manifest of the image, or by a flag`],
    });
  }

  /** The value is right, but this host cannot enforce it. */
  refuse(name: string, why: string, remedies: readonly string[] = []): never {
    throw new PodError(
      'POD_LIMIT_UNSUPPORTED',
      `${this.who} asks for ${name}, which cannot be enforced here: ${why}`,
      {
        remedies: [
          ...remedies,
          'leave it away, in the manifest or on the command line',
          'see what this host can enforce with: jetpack info',
        ],
      },
    );
  }

  adjusted(isolator: IsolatorName, from: string, to: string): void {
    this.#adjusted.push({ isolator, from, to });
  }

  /** Turned off by `--insecure-options`. */
  turnedOff(...isolators: readonly IsolatorName[]): void {
    for (const name of isolators) this.#off.add(name);
  }

  report(): IsolatorReport {
    const isEnforced = (name: string) => isIsolatorName(name) && !this.#off.has(name);
    return {
      enforced: this.names().filter(isEnforced),
      adjusted: this.#adjusted,
      ignored: this.#list.flatMap(({ name, value }) =>
        isEnforced(name) && isIsolatorName(name) ? strayFields(name, value) : [name],
      ),
    };
  }
}
