{{ config(materialized='incremental') }}

with

blocks as (

    select distinct
        billing_month,
        payer_account_id,
        capacity_reservation_id,
        region_code,
        instance_type,
        instance_count,
        starts_at,
        ends_at,
        source
    from {{ ref('int_capacity_blocks__known') }}

),

instances as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        capacity_reservation_id,
        instance_type,
        instance_id,
        usage_hour,
        max(case when is_of_capacity_block then 1 else 0 end) = 1 as is_of_capacity_block,
        sum(usage_seconds)::bigint as usage_seconds
    from {{ ref('int_bill_lines__shared') }}
    where role = 'instance_in_block' and usage_seconds > 0
    group by
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        capacity_reservation_id,
        instance_type,
        instance_id,
        usage_hour

),

named as (

    select
        blocks.billing_month,
        blocks.payer_account_id,
        blocks.capacity_reservation_id,
        instances.usage_account_id,
        instances.instance_id,
        instances.usage_hour,
        instances.usage_seconds
    from instances
    inner join blocks
        on
            instances.billing_month = blocks.billing_month
            and instances.payer_account_id = blocks.payer_account_id
            and instances.capacity_reservation_id = blocks.capacity_reservation_id
    where
        blocks.source = 'bill'
        or (
            instances.usage_hour < blocks.ends_at
            and instances.usage_hour + interval 1 hour > blocks.starts_at
        )

),

---------- hours that name no block, against blocks whose capacity is known

open_hours as (

    select
        blocks.billing_month,
        blocks.payer_account_id,
        blocks.capacity_reservation_id,
        blocks.region_code,
        blocks.instance_type,
        hours.usage_hour,
        blocks.instance_count * greatest(
            {{ seconds_between(
                'greatest(blocks.starts_at, hours.usage_hour)',
                'least(blocks.ends_at, hours.usage_hour + interval 1 hour)'
            ) }},
            0
        ) as capacity_seconds
    from blocks
    inner join (
        select distinct
            billing_month,
            payer_account_id,
            instance_type,
            usage_hour
        from instances
        where capacity_reservation_id is null
    ) as hours
        on
            blocks.billing_month = hours.billing_month
            and blocks.payer_account_id = hours.payer_account_id
            and blocks.instance_type = hours.instance_type
    where
        blocks.source <> 'bill'
        and hours.usage_hour < blocks.ends_at
        and hours.usage_hour + interval 1 hour > blocks.starts_at

),

named_hours as (

    select
        billing_month,
        payer_account_id,
        capacity_reservation_id,
        usage_hour,
        sum(usage_seconds) as usage_seconds
    from named
    group by billing_month, payer_account_id, capacity_reservation_id, usage_hour

),

free_seconds as (

    select
        open_hours.billing_month,
        open_hours.payer_account_id,
        open_hours.capacity_reservation_id,
        open_hours.region_code,
        open_hours.instance_type,
        open_hours.usage_hour,
        greatest(
            open_hours.capacity_seconds - coalesce(named_hours.usage_seconds, 0), 0
        )::bigint as free_seconds
    from open_hours
    left join named_hours
        on
            open_hours.billing_month = named_hours.billing_month
            and open_hours.payer_account_id = named_hours.payer_account_id
            and open_hours.capacity_reservation_id = named_hours.capacity_reservation_id
            and open_hours.usage_hour = named_hours.usage_hour

),

-- Blocks of one type in one hour, one behind the other, and the instances likewise: where
-- the two lines overlap, the instance ran in the block.
free_lines as (

    select
        *,
        sum(free_seconds) over (
            partition by
                billing_month, payer_account_id, region_code, instance_type, usage_hour
            order by capacity_reservation_id
            rows unbounded preceding
        ) as until_free
    from free_seconds

),

nameless_lines as (

    select
        *,
        sum(usage_seconds) over (
            partition by
                billing_month, payer_account_id, region_code, instance_type, usage_hour
            order by instance_id, usage_account_id
            rows unbounded preceding
        ) as until_used
    from instances
    where capacity_reservation_id is null

),

overlapping as (

    select
        free_lines.billing_month,
        free_lines.payer_account_id,
        free_lines.capacity_reservation_id,
        nameless_lines.usage_account_id,
        nameless_lines.instance_id,
        nameless_lines.usage_hour,
        (
            least(free_lines.until_free, nameless_lines.until_used)
            - greatest(
                free_lines.until_free - free_lines.free_seconds,
                nameless_lines.until_used - nameless_lines.usage_seconds
            )
        )::bigint as usage_seconds
    from free_lines
    inner join nameless_lines
        on
            free_lines.billing_month = nameless_lines.billing_month
            and free_lines.payer_account_id = nameless_lines.payer_account_id
            and free_lines.instance_type = nameless_lines.instance_type
            and {{ same('free_lines.region_code', 'nameless_lines.region_code') }}
            and free_lines.usage_hour = nameless_lines.usage_hour

),

---------- hours that name no block, against blocks of which only the fee is known

seen as (

    select
        blocks.billing_month,
        blocks.payer_account_id,
        blocks.capacity_reservation_id,
        instances.usage_account_id,
        instances.instance_id,
        instances.usage_hour,
        instances.usage_seconds
    from blocks
    inner join instances
        on
            blocks.billing_month = instances.billing_month
            and blocks.payer_account_id = instances.payer_account_id
            and blocks.instance_type = instances.instance_type
            and coalesce(blocks.region_code, instances.region_code, '')
            = coalesce(instances.region_code, '')
    left join overlapping
        on
            instances.billing_month = overlapping.billing_month
            and instances.payer_account_id = overlapping.payer_account_id
            and instances.instance_id = overlapping.instance_id
            and instances.usage_hour = overlapping.usage_hour
            and overlapping.usage_seconds > 0
    where
        blocks.source = 'bill'
        and instances.capacity_reservation_id is null
        and overlapping.instance_id is null

),

placed as (

    select * from named
    union all
    select * from overlapping
    where usage_seconds > 0
    union all
    select * from seen

),

final as (

    select
        billing_month,
        payer_account_id,
        capacity_reservation_id,
        instance_id,
        usage_hour,
        max(usage_account_id) as usage_account_id,
        sum(usage_seconds)::bigint as usage_seconds
    from placed
    group by
        billing_month, payer_account_id, capacity_reservation_id, instance_id, usage_hour

)

select * from final
