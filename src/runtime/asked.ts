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
      ignored: this.names().filter((name) => !isEnforced(name)),
    };
  }
}
