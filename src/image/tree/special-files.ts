/** What Node cannot do to a file: make FIFOs and device nodes, and set extended attributes. Done in one go, by one program. */

export interface SpecialNode {
  /** Byte text, below the root. */
  readonly path: string;
  readonly kind: 'p' | 'c' | 'b';
  readonly mode: number;
  readonly major: number;
  readonly minor: number;
}

export interface SpecialXattr {
  readonly path: string;
  /** Byte text, both. */
  readonly name: string;
  readonly value: string;
}

export interface SpecialFiles {
  /** Paths that are to lose the extended attributes that they have. */
  readonly stripped: readonly string[];
  readonly nodes: readonly SpecialNode[];
  readonly xattrs: readonly SpecialXattr[];
}

/** An extended attribute that the file system does not take. */
export interface LostXattr {
  readonly path: string;
  readonly name: string;
  readonly reason: string;
}

/** Strips, makes the nodes, then sets the attributes, below `root`. Rejects when a node cannot be made; a lost attribute is a result. */
export type ApplySpecialFiles = (
  root: string,
  files: SpecialFiles,
) => Promise<readonly LostXattr[]>;
