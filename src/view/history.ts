/** What made an image, as `docker history` shows it. */
import type {Digest} from '../digest.ts'
import type {Image} from '../image/model.ts'
import {stepsOf} from '../image/steps.ts'
import {printableText} from '../text.ts'
import {formatSize} from './size.ts'
import {formatTable} from './table.ts'
import {cut, formatDate, formatID, formatStep} from './text.ts'

/** A step of a build, as `--json` prints it. */
export interface HistoryStep {
  /** Number of the layer, base first, from 0; absent for a step that made none. */
  readonly layer?: number
  readonly diffID?: Digest
  readonly chainID?: Digest
  readonly v1ID?: string
  readonly created?: string
  readonly createdBy?: string
  readonly author?: string
  readonly comment?: string
  readonly empty: boolean
  /** Bytes. */
  readonly size: number
  readonly sizeExact: boolean
}

/**
 * The steps of an image with the sizes of their layers.
 *
 * @param sizes one a layer, base first
 * @returns oldest first
 */
export function historyOf(
  image: Image,
  sizes: readonly {readonly size: number; readonly exact: boolean}[],
): HistoryStep[] {
  return stepsOf(image).map(({history, layer, chainID}) => {
    const {emptyLayer: _, ...described} = history ?? {emptyLayer: false}
    const measured = layer === undefined ? undefined : sizes[layer.index]
    return {
      ...(layer !== undefined && {layer: layer.index}),
      ...(layer?.diffID !== undefined && {diffID: layer.diffID}),
      ...(chainID !== undefined && {chainID}),
      ...(layer?.v1ID !== undefined && {v1ID: layer.v1ID}),
      ...described,
      empty: layer === undefined,
      size: measured?.size ?? 0,
      sizeExact: measured?.exact ?? true,
    }
  })
}

export interface HistoryOptions {
  /** Whole ids and whole steps. */
  readonly full?: boolean
  /** Cuts steps so that lines fit, characters. @default 45 characters a step, as docker cuts them */
  readonly columns?: number | undefined
}

const stepTitle = 'CREATED BY'
const stepWidth = 45
/** However narrow the terminal is: less says nothing. */
const leastStepWidth = 20

/** A table, newest step first, as docker orders it. */
export function formatHistory(steps: readonly HistoryStep[], options: HistoryOptions = {}): string[] {
  const {full = false, columns} = options
  if (full) return formatSteps(steps, {full})
  if (columns === undefined) return formatSteps(steps, {full, width: stepWidth})
  const narrowest = Math.max(...formatSteps(steps, {full, width: 0}).map((line) => line.length))
  return formatSteps(steps, {full, width: Math.max(columns - narrowest + stepTitle.length, leastStepWidth)})
}

/** @param options.width characters of a step, all of them by default */
function formatSteps(
  steps: readonly HistoryStep[],
  {full, width}: {readonly full: boolean; readonly width?: number},
): string[] {
  const columns = [
    {title: 'LAYER'},
    {title: 'CREATED'},
    {title: stepTitle},
    {title: 'SIZE', align: 'right'},
    {title: 'COMMENT'},
  ] as const
  const rows = steps
    .toReversed()
    .map((step) => [
      step.empty ? '(empty)' : formatID(step.diffID ?? step.v1ID ?? '', full),
      formatDate(step.created),
      cut(formatStep(step.createdBy, full), width),
      formatSize(step.size, step.sizeExact),
      printableText(step.comment ?? ''),
    ])
  return formatTable(columns, rows)
}

/** The ids alone, newest first, for `--quiet`; steps without a layer have none. */
export function formatHistoryIDs(steps: readonly HistoryStep[], options: {readonly full?: boolean} = {}): string[] {
  const made = steps.toReversed().filter((step) => !step.empty)
  return made.map((step) => formatID(step.diffID ?? step.v1ID ?? '', options.full))
}
