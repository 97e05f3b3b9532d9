/**
 * Names that are deletions in the tar of a layer, and to aufs, which they come from.
 *
 * @see OCI image-spec layer.md, "Whiteouts"; aufs(5), "Whiteout"
 */

/** A file of this and a name hides the name. */
export const whiteoutPrefix = '.wh.'
/** What begins so means something to aufs itself. */
export const metaPrefix = '.wh..wh.'
/** Hides all that lower layers have in its directory. */
export const opaqueMark = '.wh..wh..opq'
