/**
 * The header WWW-Authenticate (RFC 9110, 11.6.1): a list of challenges, each a scheme with parameters or with one opaque
 * word, all of them with commas between them. Pure.
 */

export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case; the first of two that are the same. */
  readonly parameters: Readonly<Record<string, string>>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y;
const QUOTED = /"((?:[^"\\]|\\[^])*)"/y;
const SPACE = /[ \t]*/y;
const BREAKS = /[ \t,]*/y;

class Cursor {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match;
  }

  takeText(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  get position(): number {
    return this.#at;
  }

  goBackTo(position: number): void {
    this.#at = position;
  }
}

/** Undefined when it is no parameter, but the scheme of the next challenge. */
function takeParameter(cursor: Cursor): readonly [string, string] | undefined {
  const start = cursor.position;
  const name = cursor.take(TOKEN)?.[0];
  cursor.take(SPACE);
  if (name !== undefined && cursor.takeText('=')) {
    cursor.take(SPACE);
    const quoted = cursor.take(QUOTED)?.[1]?.replace(/\\([^])/g, '$1');
    const value = quoted ?? cursor.take(TOKEN)?.[0];
    if (value !== undefined) return [name.toLowerCase(), value];
  }
  cursor.goBackTo(start);
  return undefined;
}

/** The challenges of one header up to where it stops to be one. */
export function parseChallenges(header: string): readonly Challenge[] {
  const cursor = new Cursor(header);
  const challenges: Challenge[] = [];
  for (cursor.take(BREAKS); !cursor.isAtEnd; cursor.take(BREAKS)) {
    const scheme = cursor.take(TOKEN)?.[0];
    if (scheme === undefined) break;
    const parameters = new Map<string, string>();
    const hadSpace = (cursor.take(SPACE)?.[0] ?? '') !== '';
    // `Negotiate abc==`: one word instead of parameters; a parameter has something behind its `=`.
    if (!hadSpace || cursor.take(TOKEN68) === undefined) {
      for (let next = takeParameter(cursor); next !== undefined;) {
        if (!parameters.has(next[0])) parameters.set(next[0], next[1]);
        const behind = cursor.position;
        const commas = cursor.take(BREAKS)?.[0] ?? '';
        next = commas.includes(',') ? takeParameter(cursor) : undefined;
        if (next === undefined) cursor.goBackTo(behind);
      }
    }
    challenges.push({ scheme: scheme.toLowerCase(), parameters: Object.fromEntries(parameters) });
  }
  return challenges;
}
