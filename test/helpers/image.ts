/** Builds archives as the tools write them, member by member, so that a test can damage exactly one thing. */
import {mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {dirname, join} from 'node:path'
import {gzipSync} from 'node:zlib'
import type {ExecutionContext} from 'ava'
import {openArchive} from '../../src/archive/open.ts'
import {sha256} from '../../src/digest.ts'
import type {ImageSet, Layer} from '../../src/image/model.ts'
import {readImages} from '../../src/image/read-images.ts'
import {readLayer, startBudget} from '../../src/layer/read.ts'
import {defaultLimits, type Limits} from '../../src/limits.ts'
import {openSource, type Source} from '../../src/open.ts'

/** A member of a tar as it is stored: extension headers are members of their own. */
export interface Member {
  readonly name: string
  readonly body?: Buffer | string
  /** The type flag. @default '0', a file */
  readonly type?: string
  readonly link?: string
  /** The size field, where it is not the body's size; a string is stored as it is. */
  readonly size?: number | string
}

/** A tar of these members. @param end blocks of zeros behind them; two end a tar */
export function tarOf(members: readonly Member[], end = 2): Buffer {
  const parts = members.flatMap((member) => {
    const body = Buffer.from(member.body ?? '')
    return [headerOf(member, body.length), body, Buffer.alloc(-body.length & 511)]
  })
  return Buffer.concat([...parts, Buffer.alloc(end * 512)])
}

/** A PAX extended header that holds for the next member, or with `g` for all that follow. */
export function paxOf(records: Readonly<Record<string, string>>, type: 'x' | 'g' = 'x'): Member {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`)
    let length = rest + String(rest).length
    if (rest + String(length).length > length) length++
    return `${length} ${key}=${value}\n`
  })
  return {name: 'PaxHeaders/0', type, body: lines.join('')}
}

function headerOf({name, type = '0', link = '', size}: Member, bodySize: number): Buffer {
  const block = Buffer.alloc(512)
  const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, '0')}\0`
  block.write(name, 0, 100, 'utf8')
  block.write(`${octal(0o644, 8)}${octal(0, 8)}${octal(0, 8)}`, 100, 'latin1')
  block.write(typeof size === 'string' ? size : octal(size ?? bodySize, 12), 124, 12, 'latin1')
  block.write(octal(0, 12), 136, 'latin1')
  block.write(`        ${type}`, 148, 'latin1')
  block.write(link, 157, 100, 'utf8')
  block.write('ustar\u000000', 257, 'latin1')
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

const json = (value: unknown) => JSON.stringify(value)
const hex = (bytes: Buffer | string) => sha256(bytes).slice('sha256:'.length)

/** What an image is made of. */
export interface Recipe {
  readonly names?: readonly string[]
  /** Base first: uncompressed tars. @default one layer */
  readonly layers?: readonly Buffer[]
  /** Keys of the config that replace the usual ones. */
  readonly config?: object
}

/** A layer with one file. */
export function layerOf(name: string, body = name): Buffer {
  return tarOf([{name, body}])
}

/** An image of two layers with a name. */
export const app: Recipe = {names: ['app:1'], layers: [layerOf('base'), layerOf('top')]}

/** The config of a recipe. */
export function configOf({layers = [layerOf('file')], config}: Recipe): string {
  return json({
    architecture: 'amd64',
    os: 'linux',
    created: '2020-01-02T03:04:05Z',
    rootfs: {type: 'layers', diff_ids: layers.map(sha256)},
    history: layers.map((_, n) => ({created: '2020-01-02T03:04:05Z', created_by: `step ${n}`})),
    ...config,
  })
}

/** As docker 1.10 to 24 saves. */
export function dockerMembers(recipes: readonly Recipe[]): Member[] {
  const files = new Map<string, Member>()
  const add = (name: string, body: Buffer | string) => files.set(name, {name, body}) && name
  const items = recipes.map((recipe) => ({
    Config: add(`${hex(configOf(recipe))}.json`, configOf(recipe)),
    RepoTags: recipe.names ?? null,
    Layers: (recipe.layers ?? [layerOf('file')]).map((layer) => add(`${hex(`v1 ${hex(layer)}`)}/layer.tar`, layer)),
  }))
  add('manifest.json', json(items))
  return [...files.values()]
}

/** A descriptor of bytes, and keys that a test wants different. */
export function descriptorOf(body: Buffer | string, mediaType: string, more: object = {}) {
  return {mediaType, digest: sha256(body), size: Buffer.byteLength(body), ...more}
}

export const types = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
}

/** A file that is named by the digest of its bytes. */
export function blobMember(body: Buffer | string): Member {
  return {name: `blobs/sha256/${hex(body)}`, body}
}

/** The OCI manifest of a recipe. */
export function manifestOf(recipe: Recipe, more: object = {}): string {
  const layers = (recipe.layers ?? [layerOf('file')]).map((layer) => descriptorOf(layer, types.layer))
  const config = descriptorOf(configOf(recipe), types.config)
  return json({schemaVersion: 2, mediaType: types.manifest, config, layers, ...more})
}

/** Blobs of an image: its layers, config and manifest. */
export function imageBlobs(recipe: Recipe): Member[] {
  return [...(recipe.layers ?? [layerOf('file')]), configOf(recipe), manifestOf(recipe)].map(blobMember)
}

/** A layout with this `index.json` and these blobs. */
export function layoutMembers(manifests: readonly object[] | null, blobs: readonly Member[]): Member[] {
  const unique = new Map(blobs.map((member) => [member.name, member]))
  return [
    {name: 'oci-layout', body: json({imageLayoutVersion: '1.0.0'})},
    {name: 'index.json', body: json({schemaVersion: 2, manifests})},
    ...unique.values(),
  ]
}

export const refName = (name: string) => ({annotations: {'org.opencontainers.image.ref.name': name}})

/** A descriptor of a manifest with a name. */
export function namedManifest(body: string, name: string, more: object = {}) {
  return descriptorOf(body, types.manifest, {...refName(name), ...more})
}

/** An index document of these descriptors. */
export function indexOf(...manifests: readonly object[]): string {
  return json({schemaVersion: 2, mediaType: types.index, manifests})
}

/** As skopeo writes OCI layouts: a name is the whole annotation. */
export function ociMembers(recipes: readonly Recipe[]): Member[] {
  const descriptors = recipes.flatMap((recipe) =>
    (recipe.names ?? [undefined]).map((name) =>
      name === undefined ? descriptorOf(manifestOf(recipe), types.manifest) : namedManifest(manifestOf(recipe), name),
    ),
  )
  return layoutMembers(descriptors, recipes.flatMap(imageBlobs))
}

/** As docker 25 and later saves: a layout and a `manifest.json` over the same blobs. */
export function hybridMembers(recipes: readonly Recipe[]): Member[] {
  const blob = (body: Buffer | string) => blobMember(body).name
  const items = recipes.map((recipe) => ({
    Config: blob(configOf(recipe)),
    RepoTags: recipe.names ?? null,
    Layers: (recipe.layers ?? [layerOf('file')]).map(blob),
  }))
  const named = recipes.map((recipe) => ({
    ...recipe,
    ...(recipe.names && {names: recipe.names.map((name) => `docker.io/library/${name}`)}),
  }))
  return [...ociMembers(named), {name: 'manifest.json', body: json(items)}]
}

/** A layer's directory before docker 1.10; ids are digits, repeated. */
export interface V1Recipe {
  readonly id: string
  readonly parent?: string
  /** @default a tar with one file; null leaves layer.tar out */
  readonly layer?: Buffer | null
  /** Keys of the json that replace the usual ones. */
  readonly json?: object
}

/** An id of 64 digits. */
export const v1ID = (digit: string) => digit.repeat(64)

/** As docker before 1.10 saves. @param repositories names to digits; undefined leaves the document out */
export function v1Members(recipes: readonly V1Recipe[], repositories?: Record<string, Record<string, string>>) {
  const members = recipes.flatMap(({id: digit, parent, layer = layerOf(digit), json: more}): Member[] => {
    const id = v1ID(digit)
    const document = {id, ...(parent && {parent: v1ID(parent)}), created: '2014-01-02T03:04:05Z', os: 'linux', ...more}
    return [
      {name: `${id}/`, type: '5'},
      {name: `${id}/VERSION`, body: '1.0'},
      {name: `${id}/json`, body: json(document)},
      ...(layer === null ? [] : [{name: `${id}/layer.tar`, body: layer}]),
    ]
  })
  const names = Object.entries(repositories ?? {}).map(([name, tags]) => [
    name,
    Object.fromEntries(Object.entries(tags).map(([tag, digit]) => [tag, v1ID(digit)])),
  ])
  return repositories ? [...members, {name: 'repositories', body: json(Object.fromEntries(names))}] : members
}

/** The members with one of them changed. */
export function replaced(members: readonly Member[], name: string, change: Partial<Member>): Member[] {
  if (!members.some((member) => member.name === name)) throw new Error(`no member ${name}`)
  return members.map((member) => (member.name === name ? {...member, ...change} : member))
}

/** The members without some. */
export function without(members: readonly Member[], ...names: readonly string[]): Member[] {
  return members.filter((member) => !names.includes(member.name))
}

/** A new directory that goes with the test. */
export function scratch(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'imgtool-test-'))
  t.teardown(() => rmSync(directory, {recursive: true, force: true}))
  return directory
}

/** Writes bytes to a file that goes with the test. */
export function writeScratch(t: ExecutionContext, bytes: Buffer | string, name = 'app.tar'): string {
  const path = join(scratch(t), name)
  writeFileSync(path, bytes)
  return path
}

/** Writes an archive of an image whose documents are right and whose layer is damaged behind its head. */
export function damagedLayer(t: ExecutionContext): string {
  const members = dockerMembers([{names: ['app:1'], layers: [layerOf('file')]}])
  const layer = members.find(({name}) => name.endsWith('/layer.tar'))!.name
  const body = gzipSync(layerOf('file'))
  body.fill(0xff, 10)
  return writeScratch(t, tarOf(replaced(members, layer, {body})), 'damaged.tar')
}

/** Writes members as files and symbolic links. */
export function writeMembers(directory: string, members: readonly Member[]): string {
  for (const {name, body = '', type, link} of members) {
    const path = join(directory, name)
    mkdirSync(type === '5' ? path : dirname(path), {recursive: true})
    if (type === '2') symlinkSync(link ?? '', path)
    else if (type !== '5') writeFileSync(path, body)
  }
  return directory
}

/** Opens an archive from members or bytes; closed with the test. */
export async function openBytes(
  t: ExecutionContext,
  content: readonly Member[] | Buffer,
  limits: Partial<Limits> = {},
) {
  const bytes = Buffer.isBuffer(content) ? content : tarOf(content as readonly Member[])
  const archive = await openArchive(writeScratch(t, bytes), {...defaultLimits, ...limits})
  t.teardown(() => archive.close())
  return archive
}

/** The images of an archive made of members. */
export async function imagesOf(
  t: ExecutionContext,
  members: readonly Member[],
  limits: Partial<Limits> = {},
): Promise<ImageSet> {
  return readImages(await openBytes(t, members, limits), {...defaultLimits, ...limits})
}

/** An open source of members; closed with the test. */
export async function sourceOf(
  t: ExecutionContext,
  members: readonly Member[],
  selector: {readonly name?: string; readonly index?: number} = {},
): Promise<Source> {
  const source = await openSource({transport: 'auto', path: writeScratch(t, tarOf(members)), ...selector})
  t.teardown(() => source[Symbol.asyncDispose]())
  return source
}

/** Reads layers whole, and keeps nothing. */
export async function readLayers(layers: readonly Layer[]): Promise<void> {
  const budget = startBudget(defaultLimits)
  const nothing = {entry: () => {}, data: () => {}, end: () => {}}
  for (const layer of layers) await readLayer(layer, nothing, budget)
}
