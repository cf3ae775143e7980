{{ config(materialized='incremental') }}

with

blocks as (

    select * from {{ ref('int_capacity_blocks__known') }}

),

used as (

    select
        billing_month,
        payer_account_id,
        capacity_reservation_id,
        usage_hour,
        sum(usage_seconds)::bigint as used_seconds
    from {{ ref('int_capacity_blocks__used') }}
    group by billing_month, payer_account_id, capacity_reservation_id, usage_hour

),

---------- blocks whose time is known: every second of every instance costs the same

timed as (

    select
        *,
        {{ each_hour(
            "greatest(date_trunc('hour', spread_from), billing_month::timestamp)",
            "least(date_trunc('hour', ends_at - interval 1 second), "
            ~ "billing_month::timestamp + interval 1 month - interval 1 hour)"
        ) }} as usage_hour
    from blocks
    where
        source <> 'bill'
        and spread_from < ends_at
        and ends_at > billing_month::timestamp
        and spread_from < billing_month::timestamp + interval 1 month

),

timed_seconds as (

    select
        *,
        {{ seconds_between('spread_from', 'ends_at') }} as total_seconds,
        {{ seconds_between('spread_from', 'greatest(usage_hour, spread_from)') }}
            as seconds_before,
        {{ seconds_between(
            'spread_from', 'least(usage_hour + interval 1 hour, ends_at)'
        ) }} as seconds_after
    from timed

),

---------- blocks of which only the fee is known: the hours that were seen

seen_seconds as (

    select
        blocks.*,
        used.usage_hour,
        used.used_seconds,
        sum(used.used_seconds) over (
            partition by
                blocks.billing_month,
                blocks.payer_account_id,
                blocks.capacity_reservation_id
            order by used.usage_hour
            rows unbounded preceding
        ) as seconds_after,
        sum(used.used_seconds) over (
            partition by
                blocks.billing_month,
                blocks.payer_account_id,
                blocks.capacity_reservation_id
        ) as total_seconds
    from blocks
    inner join used
        on
            blocks.billing_month = used.billing_month
            and blocks.payer_account_id = used.payer_account_id
            and blocks.capacity_reservation_id = used.capacity_reservation_id
    where blocks.source = 'bill' and blocks.fee_month = blocks.billing_month

),

{% set facts = [
    'billing_month', 'payer_account_id', 'capacity_reservation_id', 'fee_month',
    'owner_account_id', 'region_code', 'instance_type', 'source', 'usage_hour',
    'amortized_usd', 'net_amortized_usd',
] -%}
hours as (

    select
        {% for fact in facts %}{{ fact }},
        {% endfor -%}
        (instance_count * (seconds_after - seconds_before))::bigint as capacity_seconds,
        {{ wide('seconds_before') }} as seconds_before,
        {{ wide('seconds_after') }} as seconds_after,
        {{ wide('total_seconds') }} as total_seconds
    from timed_seconds
    union all
    select
        {% for fact in facts %}{{ fact }},
        {% endfor -%}
        used_seconds::bigint as capacity_seconds,
        {{ wide('seconds_after - used_seconds') }} as seconds_before,
        {{ wide('seconds_after') }} as seconds_after,
        {{ wide('total_seconds') }} as total_seconds
    from seen_seconds

),

final as (

    select
        billing_month,
        payer_account_id,
        capacity_reservation_id,
        fee_month,
        owner_account_id,
        region_code,
        instance_type,
        source,
        usage_hour,
        capacity_seconds,
        {% for basis in ['amortized', 'net_amortized'] -%}
        {{ usd(
            border(whole(basis ~ '_usd', 10), 'seconds_after', 'total_seconds') ~ ' - '
            ~ border(whole(basis ~ '_usd', 10), 'seconds_before', 'total_seconds')
        ) }} as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from hours

)

select * from final
