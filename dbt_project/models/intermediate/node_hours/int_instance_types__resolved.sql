{{ config(materialized='incremental') }}

with

node_hours as (

    select * from {{ ref('int_node_hours') }}

),

catalogue as (

    select * from {{ ref('ec2_instance_types') }}

),

-- Of the catalogue and of no month: rendered as it is, without the batch's window.
unit_prices as (

    select * from {{ ref('int_unit_prices__fitted').render() }}

),

-- What the bill itself says of its types, like "1,952 GiB".
billed as (

    select
        billing_month,
        coalesce(instance_type, '') as instance_type,
        count(*) as node_hour_count,
        ({{ whole_sum('amortized_usd') }})::decimal(38, 10) as amortized_usd,
        min(instance_id) as example_instance_id,
        max({{ number_in('billed_vcpu') }}) as vcpu,
        max({{ number_in('billed_memory') }}) as memory_gib,
        max({{ number_in('billed_accelerators') }}) as accelerators
    from node_hours
    group by billing_month, coalesce(instance_type, '')

),

resolved as (

    select
        billed.billing_month,
        billed.instance_type,
        billed.node_hour_count,
        billed.amortized_usd,
        billed.example_instance_id,
        case
            when catalogue.instance_type is not null then 'catalogue'
            when billed.vcpu > 0 and billed.memory_gib > 0 then 'bill'
        end as source,
        coalesce(catalogue.vcpu, billed.vcpu) as vcpu,
        coalesce(catalogue.memory_gib, billed.memory_gib) as memory_gib,
        coalesce(catalogue.accelerators, billed.accelerators, 0) as accelerators,
        coalesce(catalogue.accelerator_memory_gib, 0) as accelerator_memory_gib,
        catalogue.on_demand_usd_per_hour
    from billed
    left join catalogue on billed.instance_type = catalogue.instance_type

),

-- Version 3: what is left of the price after vCPUs and memory is the accelerators'.
priced as (

    select
        resolved.*,
        unit_prices.usd_per_vcpu_hour,
        unit_prices.usd_per_gib_hour,
        resolved.on_demand_usd_per_hour
        - resolved.vcpu * unit_prices.usd_per_vcpu_hour
        - resolved.memory_gib * unit_prices.usd_per_gib_hour as accelerators_usd_per_hour
    from resolved
    cross join unit_prices

),

final as (

    select
        billing_month,
        instance_type,
        source,
        node_hour_count,
        amortized_usd,
        example_instance_id,
        vcpu::decimal(18, 4) as vcpu,
        memory_gib::decimal(18, 4) as memory_gib,
        accelerators::decimal(18, 4) as accelerators,
        accelerator_memory_gib::decimal(18, 4) as accelerator_memory_gib,
        on_demand_usd_per_hour,
        coalesce(
            on_demand_usd_per_hour > 0
            and (accelerators = 0 or accelerators_usd_per_hour >= 0),
            false
        ) as has_market_weights,
        (
            case
                when accelerators > 0
                    then accelerators_usd_per_hour::double / accelerators::double
                else 0
            end
        )::decimal(18, 14) as market_accelerator_weight,
        usd_per_vcpu_hour as market_vcpu_weight,
        usd_per_gib_hour as market_memory_weight
    from priced

)

select * from final
