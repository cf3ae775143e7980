{{ config(materialized='incremental') }}

{%- set group = [
    'billing_month', 'payer_account_id', 'capacity_reservation_id', 'usage_hour',
] %}

with

-- A fee and its refund, or fees of two months, share the block's hours.
hours as (

    select
        {% for key in group %}{{ key }},
        {% endfor -%}
        max(owner_account_id) as owner_account_id,
        max(region_code) as region_code,
        max(instance_type) as instance_type,
        max(capacity_seconds) as capacity_seconds,
        sum(amortized_usd)::decimal(38, 10) as amortized_usd,
        sum(net_amortized_usd)::decimal(38, 10) as net_amortized_usd
    from {{ ref('int_capacity_block_hours') }}
    group by {{ group | join(', ') }}

),

used as (

    select * from {{ ref('int_capacity_blocks__used') }}

),

used_seconds as (

    select
        {% for key in group %}{{ key }},
        {% endfor -%}
        sum(usage_seconds)::bigint as used_seconds
    from used
    group by {{ group | join(', ') }}

),

claims as (

    select
        {% for key in group %}hours.{{ key }},
        {% endfor -%}
        hours.region_code,
        hours.instance_type,
        used.usage_account_id,
        used.instance_id as claimant,
        false as is_left,
        used.usage_seconds as weight,
        hours.amortized_usd,
        hours.net_amortized_usd
    from hours
    inner join used
        on
            {% for key in group -%}
            hours.{{ key }} = used.{{ key }}{{ ' and' if not loop.last }}
            {% endfor %}
    union all
    select
        {% for key in group %}hours.{{ key }},
        {% endfor -%}
        hours.region_code,
        hours.instance_type,
        hours.owner_account_id,
        null as claimant,
        true as is_left,
        greatest(hours.capacity_seconds - coalesce(used_seconds.used_seconds, 0), 0)::bigint
            as weight,
        hours.amortized_usd,
        hours.net_amortized_usd
    from hours
    left join used_seconds
        on
            {% for key in group -%}
            hours.{{ key }} = used_seconds.{{ key }}{{ ' and' if not loop.last }}
            {% endfor %}

),

{{ apportioned('claims', group, ['amortized', 'net_amortized']) }},

final as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        capacity_reservation_id,
        instance_type,
        usage_hour,
        claimant as instance_id,
        weight as usage_seconds,
        amortized_part_usd::decimal(38, 10) as amortized_usd,
        net_amortized_part_usd::decimal(38, 10) as net_amortized_usd
    from apportioned
    where weight > 0

)

select * from final
