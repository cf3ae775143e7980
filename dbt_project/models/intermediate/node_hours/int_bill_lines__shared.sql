{{ config(materialized='incremental') }}

with

lines as (

    select * from {{ ref('int_bill_lines__costed') }}

),

-- One pass over the bill for all that is spread over several node-hours, and for the hours
-- that it is spread over.
relevant as (

    select
        *,
        case
            when node_component = 'host' then 'host'
            when node_component = 'instance' and node_instance_id is null then 'cluster'
            when product_code = 'AmazonSageMaker' then 'node_of_cluster'
            when usage_type like '%HostBoxUsage%' then 'instance_on_host'
            -- Without the columns of capacity reservations, a block's hours are those that
            -- cost nothing, or the price of a paid operating system.
            else 'instance_in_block'
        end as role,
        {{ host_id() }} as host_id,
        coalesce(
            split_part(instance_type, '.', 1),
            {{ regexp_extract('usage_type', ':([a-z0-9-]+)$', 1) }}
        ) as instance_family
    from lines
    where
        node_component in ('instance', 'host')
        and (
            node_component = 'host'
            or node_instance_id is null
            or capacity_reservation_id is not null
            or is_of_capacity_block
            or usage_type like '%HostBoxUsage%'
            or product_code = 'AmazonSageMaker'
            or (
                line_type = 'Usage'
                and unblended_usd = 0
                and usage_type like '%BoxUsage%'
            )
        )

),

final as (

    select
        billing_month,
        role,
        payer_account_id,
        usage_account_id,
        region_code,
        max(usage_type_prefix) as usage_type_prefix,
        capacity_reservation_id,
        is_of_capacity_block,
        host_id,
        instance_family,
        instance_type,
        node_instance_id as instance_id,
        line_type,
        product_code,
        date_trunc('hour', usage_started_at) as usage_hour,
        coalesce(round(sum(usage_amount) * 3600), 0)::bigint as usage_seconds,
        max({{ number_in(tag('product', 'vcpu')) }}) as billed_vcpu,
        {% for basis in bases() -%}
        sum({{ basis }}_usd)::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from relevant
    group by
        billing_month,
        role,
        payer_account_id,
        usage_account_id,
        region_code,
        capacity_reservation_id,
        is_of_capacity_block,
        host_id,
        instance_family,
        instance_type,
        node_instance_id,
        line_type,
        product_code,
        date_trunc('hour', usage_started_at)

)

select * from final
