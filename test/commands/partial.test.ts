import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import path from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {extract} from 'tar'
import type {SizedNode} from '../../src/image/parents.ts'
import {imgtool} from '../helpers/cli.ts'
import {fixture} from '../helpers/fixtures.ts'

const whole = fixture('docker-1.7-several.tar')

/** An archive before docker 1.10 as a directory, without its names and its lowest layer. */
async function partialArchive(t: ExecutionContext): Promise<{directory: string; missing: string}> {
  const missing = (await imgtool('list', `${whole}:shop/base:2013`, '-q', '--no-trunc')).stdout.trim()
  const directory = await mkdtemp(path.join(tmpdir(), 'imgtool-test-'))
  t.teardown(() => rm(directory, {recursive: true}))
  await extract({
    file: whole,
    cwd: directory,
    filter: (name) => !name.includes(missing) && !name.includes('repositories'),
  })
  return {directory, missing}
}

test.serial('a partial archive is drawn and listed, and says what is missing when it is read', async (t) => {
  const {directory, missing} = await partialArchive(t)
  const {stdout: tree} = await imgtool('tree', directory)
  t.regex(tree, new RegExp(`Virtual Size: ~0 B \\(parent ${missing.slice(0, 12)} missing\\)`))
  t.regex((await imgtool('list', directory, '--image-ids')).stdout, /@0 .* partial\n@1 .* partial\n/)
  t.is((await imgtool('history', `${directory}:@0`)).error, undefined)
  for (const words of [[], ['--config']]) {
    const {error, stdout} = await imgtool('inspect', `${directory}:@0`, '--json', ...words)
    t.is(error?.oclif?.exit, 1)
    t.is(JSON.parse(stdout).error.code, 'PARENT_MISSING')
  }
})

test.serial('what is missing from one archive is found in another', async (t) => {
  const {directory} = await partialArchive(t)
  const ids = async (...words: string[]) =>
    (JSON.parse((await imgtool('tree', ...words, '--json')).stdout).nodes as SizedNode[]).map(({id, parent}) => [
      id,
      parent,
    ])
  t.deepEqual(await ids(directory, whole), await ids(whole))
})
