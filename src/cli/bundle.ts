/** The bundle's root: loaded by entry.ts from one file with a code cache. */
export { main } from './main.ts';
export { warmUp } from './warm-up.ts';
