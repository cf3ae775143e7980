with

pod_costs as (

    select * from {{ source('split', 'pod_costs') }}

),

types as (

    select * from {{ ref('int_instance_types__resolved') }}

),

-- A request above the whole instance cannot have been scheduled: a slip of units.
compared as (

    select
        pod_costs.billing_month,
        pod_costs.payer_account_id,
        pod_costs.instance_id,
        pod_costs.usage_hour,
        pod_costs.namespace,
        pod_costs.pod_name,
        pod_costs.pod_uid,
        pod_costs.instance_type,
        (
            {{ pod_money('amortized', 'split') }} + {{ pod_money('amortized', 'unused') }}
        )::decimal(38, 10) as amortized_usd,
        greatest(
            pod_costs.vcpu_reserved_hours / nullif(types.vcpu::double, 0),
            pod_costs.memory_reserved_hours / nullif(types.memory_gib::double, 0),
            coalesce(
                pod_costs.accelerator_reserved_hours
                / nullif(types.accelerators::double, 0),
                0
            )
        ) / nullif(pod_costs.bound_seconds / 3600.0::double, 0) as times_capacity
    from pod_costs
    inner join types
        on
            pod_costs.billing_month = types.billing_month
            and pod_costs.instance_type = types.instance_type

),

final as (

    select * from compared
    where times_capacity > 1.000001

)

select * from final
