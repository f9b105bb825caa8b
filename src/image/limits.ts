/** What an archive may ask of the host, against bombs. */
import type { AciLimits } from '../formats/aci/sink.ts';
import type { ArchiveLimits } from '../formats/tar/archive.ts';

const MIB = 1024 * 1024;

export interface ImportLimits extends ArchiveLimits, AciLimits {
  /** Of all files together, holes included. */
  readonly treeBytes: number;
}

export const DEFAULT_LIMITS: ImportLimits = {
  entries: 2_000_000,
  treeBytes: 256 * 1024 * MIB,
  tarBytes: 256 * 1024 * MIB,
  // gzip cannot do more than 1032, so this is about the others; real trees stay below 20.
  ratio: 1200,
  ratioFromBytes: 256 * MIB,
  // PATH_MAX and NAME_MAX of Linux.
  pathBytes: 4096,
  componentBytes: 255,
  headerBytes: MIB,
  manifestBytes: 4 * MIB,
};
