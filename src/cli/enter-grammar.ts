/** The grammar of `enter` and `exec`: `[FLAGS] POD[:APP] [COMMAND ARGS…]`. Pure. */

const VALUE_FLAGS: ReadonlySet<string> = new Set([
  '--user',
  '--group',
  '--working-dir',
  '--set-env',
  '--config',
  '--option',
  '-o',
]);

/** Flags end at the first word that is none: what comes after the pod is the command, with flags of its own. */
export function splitCommand(argv: readonly string[]): {
  readonly own: string[];
  readonly command: readonly string[];
} {
  let at = 0;
  while (at < argv.length && (argv[at] ?? '').startsWith('-') && argv[at] !== '--') {
    at += VALUE_FLAGS.has(argv[at] ?? '') ? 2 : 1;
  }
  // `exec -- POD COMMAND` is fine too.
  const pod = argv[at] === '--' ? at + 1 : at;
  const rest = argv.slice(pod + 1);
  return {
    own: [...argv.slice(0, at), ...argv.slice(pod, pod + 1)],
    command: rest[0] === '--' ? rest.slice(1) : rest,
  };
}
