/** Real archives that are too many or too large for the repository: a folder `shared` beside the checkout, where there is one. */
import {existsSync} from 'node:fs'
import path from 'node:path'
import test from 'ava'

/** The folder, or undefined on a machine that does not have it. */
export function sharedDir(): string | undefined {
  const dir = path.resolve(import.meta.dirname, '../../../shared')
  return existsSync(dir) ? dir : undefined
}

/** `test` where the folder is, else `test.skip`, which AVA lists. */
export const sharedTest = sharedDir() === undefined ? test.skip : test
