/** The trees that tools unpack, scanned and thrown away. */
import {join} from 'node:path'
import type {ExecutionContext} from 'ava'
import {spawnImgtool} from './cli.ts'
import {makeScratch, removeScratch} from './interop.ts'
import {run} from './run.ts'
import {scanTree, type Tree} from './scan-tree.ts'

/** What umoci unpacks of a layout. */
export function scanUmoci(layout: string, tag: string): Promise<Tree> {
  return withScratch(async (scratch) => {
    const bundle = join(scratch, 'bundle')
    await run('umoci', ['unpack', '--image', `${layout}:${tag}`, bundle])
    return scanTree(join(bundle, 'rootfs'))
  })
}

/** What imgtool unpacks. */
export function scanUnpacked(t: ExecutionContext, reference: string): Promise<Tree> {
  return withScratch(async (scratch) => {
    const target = join(scratch, 'rootfs')
    const {status, stderr} = await spawnImgtool(['unpack', reference, target])
    t.is(status, 0, stderr)
    return scanTree(target)
  })
}

async function withScratch<Result>(use: (scratch: string) => Promise<Result>): Promise<Result> {
  const scratch = makeScratch()
  try {
    return await use(scratch)
  } finally {
    await removeScratch(scratch)
  }
}
